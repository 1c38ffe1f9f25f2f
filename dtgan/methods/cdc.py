"""CDC, few-shot adaptation by cross-domain correspondence (Ojha et al., CVPR 2021).

G goes on from a finished `stylegan2` run, the source G_s, and learns few images of one class
without losing its variety. A step is that of `methods.stylegan2`, but for
  relation  images of one batch of latents resemble each other as they do in G_s: 1000 KL, each at
            a layer of its own
  anchors   in every 4th step z lies near one of ten fixed latents and D judges whole images; else
            z is free and D judges patches alone
  R1        is of the mean over patches
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.methods.base import Method
from dtgan.methods.stylegan2 import StyleGAN2
from dtgan.methods.updates import weigh
from dtgan.models import cdc
from dtgan.models.stylegan2 import draw_noise, repeat_slots, sides

COMPARED = 4  # latents whose images are compared with each other


class Judged(NamedTuple):
    """What D says of images: of the whole ones [N], and of their patches [N, h, w, 1]."""

    whole: Any
    patches: Any


class CDC(StyleGAN2):
    """The algorithm for one config; `state.extra` holds the source and the anchors."""

    def __init__(self, config, classes):
        super().__init__(config, classes[:2])  # one class a run, see `make`
        self.head = cdc.patch_head(self.dtype)

    # --- forward passes ---------------------------------------------------------------------------

    def of_whole_images(self, state):
        """Tell whether D judges whole images in this step."""
        return state.step % self.config.optim.image_every == 0

    def near_anchors(self, state, g, key, real, ws):
        """Replace styles by those of latents near anchors, where whole images are judged."""
        anchors, key_which = state.extra["anchors"], key("anchor")
        z = anchors[jax.random.randint(key_which, (len(real),), 0, len(anchors))]
        z = z + self.config.model.spread * self.latents(key("near"), real)
        near = repeat_slots(self.G.apply(g, z, None, method="style"), self.G.slots)
        return jnp.where(self.of_whole_images(state), near, ws)

    def fake(self, state, own, key, real, label):
        """Draw an image for each real one -> [N, R, R, C]."""
        ws, _ = self.styles(own, key, real, label)
        return self.draw(own, key, self.near_anchors(state, own, key, real, ws))

    def judge(self, d, x, label):
        """Apply D and its patch head."""
        logits, seen = cdc.judge(self.D, d["whole"], x, label)
        return Judged(logits, self.head.apply(d["head"], seen))

    def d_total(self, state, on_real, on_fake):
        """Compute the loss of D: of whole images or of patches."""
        whole, patches = (
            losses.adversarial_d(*pair) for pair in zip(on_real, on_fake, strict=True)
        )
        return jnp.where(self.of_whole_images(state), whole, patches)

    def g_total(self, state, on_fake):
        """Compute the adversarial loss of G: of whole images or of patches."""
        whole, patches = (jnp.mean(losses.adversarial_g(x)) for x in on_fake)
        return jnp.where(self.of_whole_images(state), whole, patches)

    def score(self, d, x, label):
        """Compute what R1 is the gradient of: [N]."""
        return jnp.mean(self.judge(d, x, label).patches, axis=(1, 2, 3))

    def counted(self, state, on_real):
        """Add the signs of D's logits of whole images to the statistic that p follows."""
        return super().counted(state, on_real.whole)

    # --- G ----------------------------------------------------------------------------------------

    def g_loss(self, own, state, real, label, key):
        """Compute Gmain -> (loss, (terms, {mapping: unmixed w [N, W]}))."""
        ws, w = self.styles(own, key, real, label)
        image = self.draw(own, key, self.near_anchors(state, own, key, real, ws))
        seen = self.augment(key("augment"), image, state)
        terms = {
            "G": self.g_total(state, self.judge(state.nets["D"].params, seen, label)),
            "relation": self.relation(own, state.extra["source"], key),
        }
        return weigh(terms, {"G": 1.0, **self.config.loss}), (terms, {"mapping": w})

    def relation(self, own, source, key):
        """Compare how a few latents' images resemble each other, in G and in the source."""
        z = jax.random.normal(key("compared"), (COMPARED, self.config.model.latent))
        layers = jax.random.randint(key("layers"), (COMPARED,), 1, self.G.slots - 1)
        alike = []
        for name, g in (("source", source), ("own", own)):
            ws = repeat_slots(self.G.apply(g, z, None, method="style"), self.G.slots)
            noise = draw_noise(key(f"compared/{name}"), COMPARED, sides(self.config.data.res))
            alike.append(losses.relations(cdc.features(self.G, g, ws, noise), layers))
        return losses.correspondence(*alike)

    # --- start ------------------------------------------------------------------------------------

    def initial(self, key, label):
        """Initialise all networks -> (parameters, what the running means hold beside them)."""
        key, key_head = jax.random.split(key)
        params, ema = super().initial(key, label)
        data = self.config.data
        image = jnp.zeros((1, data.res, data.res, data.channels))
        _, seen = cdc.judge(self.D, params["D"], image)
        head = self.head.init(key_head, seen)
        return params | {"D": {"whole": params["D"], "head": head}}, ema

    def init(self, key, batch_spec):
        """Initialise all, with anchors, and G as the source until a donor is adopted."""
        key, key_anchors = jax.random.split(key)
        state = super().init(key, batch_spec)
        model = self.config.model
        anchors = jax.random.normal(key_anchors, (model.anchors, model.latent))
        source = jax.tree.map(jnp.copy, state.nets["G"].params)
        return state._replace(extra=state.extra | {"anchors": anchors, "source": source})

    def adopt(self, state, donor):
        """Go on from a run of surfaces, which is the source as well; the patch head starts anew."""
        d = {"whole": donor.nets["D"], "head": state.nets["D"].params["head"]}
        state = super().adopt(state, donor._replace(nets=donor.nets | {"D": d}))
        source = jax.tree.map(jnp.copy, state.nets["G"].params)
        return state._replace(extra=state.extra | {"source": source})


def make(config, classes):
    """Make the CDC `Method`; of one class, since nothing tells it which of several to draw."""
    m = CDC(config, classes)
    return Method(
        reads=("image", "label"),
        init=m.init,
        phases=m.phases,
        infer=m.infer,
        controls=("truncation", "object_seed", "style"),
        noise=m.noise,
        styles=m.styles_of_objects,
        adopt=m.adopt,
        starts_from="a finished run of configs/stylegan2.py" if config.init.required else "",
        shown=tuple(f"loss/{name}" for name in ("D", "G", "relation", "r1", "pl")),
    )

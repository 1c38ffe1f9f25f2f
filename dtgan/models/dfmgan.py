"""The generator of DFMGAN (Duan et al., AAAI 2023): defects painted into StyleGAN2's features.

A defect has a latent and a mapping network of its own. From the side `first` on, residual blocks
change the features inside a mask, which is read off the first of them. D and D_match, which judges
images and masks together, are `stylegan2.Discriminator`s.
"""

from dtgan.models.stylegan2 import Generator, Mapping, SynthesisBlock, repeat_slots, sides
from dtgan.nn.modulated import ToImage
from dtgan.nn.resample import upsample


class DefectGenerator(Generator):
    """G of stage 2: z, z_d [N, Z] -> image [N, R, R, channels] and raw mask [N, R, R, 1].

    The mask is where its values are >= 0. The backbone is `stylegan2.Generator` to the last
    parameter, and `draw` gives its images: the same ones without their defects.
    """

    first: int = 64  # side of the first residual block, where the mask is made
    defects: int = 1  # classes of defects, which the defect's mapping network reads
    mask_bias: float = -1.0  # that masks start with: small, so that D_match sees defects

    def setup(self):
        """Make the backbone and the parts for defects."""
        super().setup()
        self.defect_mapping = Mapping(self.latent, self.layers, self.defects)
        for side in self.masked_sides:
            width, how = min(self.base // side, self.cap), {"clamp": self.clamp}
            setattr(self, f"res{side}", SynthesisBlock(width, dtype=self.dtype, **how))
        self.to_mask = ToImage(1, self.clamp, bias_init=self.mask_bias)

    @property
    def masked_sides(self):
        """The sides of the residual blocks."""
        return [side for side in sides(self.res) if side >= self.first]

    @property
    def defect_slots(self):
        """The number of styles of a defect; the last one is never read."""
        return 2 * len(self.masked_sides) + 1

    def __call__(self, z, z_d, label=None, defect=None):
        """Compute images and masks with one style for all layers; defect: labels int [N]."""
        ws = repeat_slots(self.style(z, label), self.slots)
        return self.draw_defect(ws, repeat_slots(self.defect_style(z_d, defect), self.defect_slots))

    def defect_style(self, z_d, defect=None):
        """Compute w_d [N, latent] of z_d [N, Z] and the classes of the defects, int [N]."""
        return self.defect_mapping(z_d, defect)

    def draw_defect(self, ws, ws_d, noise=None, noise_d=None):
        """Compute images and raw masks of styles of objects and of defects [N, slots, latent].

        noise_d: as `noise`, for the residual blocks alone. No gradient of the image reaches the
        mask, which is a hard step there.
        """
        masks = []

        def residual(side, x):
            if side < self.first:
                return None
            k = len(masks)
            maps = noise_d[k] if noise_d else (None, None)
            y = getattr(self, f"res{side}")(x, ws_d[:, 2 * k :], maps)
            masks.append(upsample(masks[-1]) if masks else self.to_mask(y, ws_d[:, 2]))
            y = y * (masks[-1] >= 0).astype(y.dtype)
            self.sow("intermediates", f"defect{side}", (y, masks[-1]))
            return y

        return self.synthesis(ws, noise, residual), masks[-1]

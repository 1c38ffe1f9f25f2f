"""The PyTorch side of benchmarks/peers.py: a StyleGAN2 of PyPI that trains at a command.

    PYTHON benchmarks/peer_stylegan2.py PACKAGE SETTINGS

PACKAGE is stylegan2_torch or stylegan2_pytorch, SETTINGS JSON of `peers.settings_of`. Speaks as
`peers.serve` does; nothing of dtgan is imported.

PYTHON has beside torch, for the first: torch-conv-gradfix; for the second: einops, kornia, pillow,
tqdm, vector-quantize-pytorch 0.1.0. Neither package runs on a CPU as it is: the first compiles CUDA
kernels, the second asks for a GPU. Here the kernels are PyTorch's own operations (`upfirdn2d`), the
question is answered by yes.
"""

import importlib
import importlib.machinery
import json
import pathlib
import random
import sys
import types

import torch
import torch.nn.functional as F
import torch.utils.cpp_extension

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from benchmarks.peers import serve

UNUSED = ("fire", "aim", "torchvision")  # imported by the second for its command and its images


def upfirdn2d(x, kernel, up_x, up_y, down_x, down_y, left, right, top, bottom):
    """Do what the package's CUDA kernel does for x [N C, 1, H, W], by PyTorch's operations."""
    n, _, h, w = x.shape
    if up_x > 1 or up_y > 1:
        x = F.pad(x.reshape(n, 1, h, 1, w, 1), (0, up_x - 1, 0, 0, 0, up_y - 1))
        x = x.reshape(n, 1, h * up_y, w * up_x)
    x = F.pad(x, (left, right, top, bottom))
    x = F.conv2d(x, torch.flip(kernel, (0, 1))[None, None])
    return x[:, :, ::down_y, ::down_x].contiguous()


class Torch:
    """stylegan2-torch: StyleGAN2 as published, with its own losses, penalties and running mean."""

    def __init__(self, settings):
        kernels = types.SimpleNamespace(upfirdn2d=upfirdn2d)
        torch.utils.cpp_extension.load = lambda *_, **__: kernels
        self.lib = importlib.import_module("stylegan2_torch")
        self.utils = importlib.import_module("stylegan2_torch.utils")
        side, channels = settings["res"], {int(k): v for k, v in settings["channels"].items()}
        made = {"latent_dim": settings["latent"], "n_mlp": settings["mapping"]}
        self.g, self.average = (
            self.lib.Generator(side, **made, channels=channels) for _ in range(2)
        )
        self.d = self.lib.Discriminator(side, channels=channels)
        self.of_g = list(self.g.parameters())
        self.latent, self.mixing, self.length = settings["latent"], settings["mixing"], 0

    def draw(self, count, **how):
        z = self.utils.mixing_noise(count, self.latent, self.mixing, "cpu")
        return self.g(z, **how)

    def d_loss(self, real, fake):
        return self.lib.d_loss(self.d(real), self.d(fake))

    def g_loss(self, fake):
        return self.lib.g_loss(self.d(fake))

    def r1(self, real):
        real = real.requires_grad_()
        return self.lib.d_reg_loss(self.d(real), real)

    def path_length(self, count):
        image, ws = self.draw(count, return_latents=True)
        loss, self.length, _ = self.lib.g_reg_loss(image, ws, self.length)
        return loss

    def follow(self):
        self.utils.accumulate(self.average, self.g)


class PyTorch:
    """stylegan2-pytorch: its networks, losses and penalties; images of three channels only."""

    def __init__(self, settings):
        for name in UNUSED:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules["torchvision"].transforms = None
        asked, torch.cuda.is_available = torch.cuda.is_available, lambda: True
        self.lib = importlib.import_module("stylegan2_pytorch.stylegan2_pytorch")
        torch.cuda.is_available = asked
        torch.Tensor.cuda = lambda self, *_: self
        side, latent, channels = settings["res"], settings["latent"], settings["channels"]
        widest, narrowest = max(channels.values()), channels[str(side)]
        made = {"image_size": side, "fmap_max": widest}
        # Channels of G at the full side are twice the capacity, those of D four times.
        self.s, self.s_average = (
            self.lib.StyleVectorizer(latent, settings["mapping"]) for _ in range(2)
        )
        self.g, self.g_average = (
            self.lib.Generator(latent_dim=latent, network_capacity=narrowest // 2, **made)
            for _ in range(2)
        )
        self.d = self.lib.Discriminator(network_capacity=narrowest // 4, **made)
        self.of_g = [*self.s.parameters(), *self.g.parameters()]
        self.latent, self.mixing, self.side = latent, settings["mixing"], side
        self.length = None

    def styled(self, count):
        layers = self.g.num_layers
        codes = self.lib.mixed_list if random.random() < self.mixing else self.lib.noise_list
        ws = self.lib.latent_to_w(self.s, codes(count, layers, self.latent, "cpu"))
        ws = self.lib.styles_def_to_tensor(ws)
        return ws, self.g(ws, self.lib.image_noise(count, self.side, "cpu"))

    def draw(self, count):
        return self.styled(count)[1]

    def d_loss(self, real, fake):
        real = real.expand(-1, 3, -1, -1)
        return self.lib.hinge_loss(self.d(fake)[0], self.d(real)[0])

    def g_loss(self, fake):
        return self.lib.gen_hinge_loss(self.d(fake)[0], None)

    def r1(self, real):
        real = real.expand(-1, 3, -1, -1).clone().requires_grad_()
        return self.lib.gradient_penalty(real, self.d(real)[0], weight=1)

    def path_length(self, count):
        lengths = self.lib.calc_pl_lengths(*self.styled(count))
        mean = lengths.mean().detach()
        self.length = mean if self.length is None else 0.99 * self.length + 0.01 * mean
        return ((lengths - self.length) ** 2).mean()

    def follow(self):
        for new, old in ((self.s, self.s_average), (self.g, self.g_average)):
            for p, q in zip(new.parameters(), old.parameters(), strict=True):
                q.data.lerp_(p.data, 0.005)


class Training:
    """The phases of a step of one package, on a batch of noise as real images.

    peer: has the parameters `of_g` and the network `d`; draws images; computes the losses of D and
    G and the penalties; lets the running mean of G `follow`.
    """

    def __init__(self, peer, settings):
        self.peer, self.settings, size = peer, settings, settings["res"]
        self.real = torch.rand(settings["batch"], 1, size, size) * 2 - 1
        self.tx = {
            "g": self.adam(peer.of_g, settings["pl_every"]),
            "d": self.adam(peer.d.parameters(), settings["r1_every"]),
        }

    def adam(self, parameters, lazy):
        c = lazy / (lazy + 1)
        return torch.optim.Adam(parameters, lr=0.0025 * c, betas=(0.0, 0.99**c), eps=1e-8)

    def run(self, phase):
        """Run a phase once."""
        getattr(self, phase)()

    def learn(self, net, loss):
        self.peer.d.requires_grad_(net == "d")
        self.tx[net].zero_grad(set_to_none=True)
        loss().backward()
        self.tx[net].step()

    def g(self):
        self.learn("g", lambda: self.peer.g_loss(self.peer.draw(len(self.real))))

    def g_reg(self):
        weight = 2.0 * self.settings["pl_every"]
        self.learn("g", lambda: weight * self.peer.path_length(len(self.real) // 2))

    def d(self):
        with torch.no_grad():
            fake = self.peer.draw(len(self.real))
        self.learn("d", lambda: self.peer.d_loss(self.real, fake))

    def d_reg(self):
        weight = self.settings["r1_gamma"] / 2 * self.settings["r1_every"]
        self.learn("d", lambda: weight * self.peer.r1(self.real.clone()))

    def ema(self):
        self.peer.follow()


def main(package, settings):
    """Build, then serve."""
    settings = json.loads(settings)
    torch.manual_seed(0)
    torch.set_num_threads(settings["threads"])
    peer = {"stylegan2_torch": Torch, "stylegan2_pytorch": PyTorch}[package](settings)
    training = Training(peer, settings)
    trained = {"G": peer.of_g, "D": peer.d.parameters()}
    counts = {name: sum(p.numel() for p in net) for name, net in trained.items()}
    serve(training.run, {"parameters": counts, "torch": torch.__version__})


if __name__ == "__main__":
    main(*sys.argv[1:])

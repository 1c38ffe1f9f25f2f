"""What a method lets a person choose: the studio shows no other control."""

from typing import NamedTuple

from dtgan.data import pipeline


class Controls(NamedTuple):
    """Which controls the studio has for a `Method`."""

    surface: bool  # a surface is chosen
    defect: bool  # an image with a defect is chosen; it is moved, scaled, turned, mirrored
    mask: bool  # where that image has its defect has to be known
    limit: bool  # where a defect may be is painted
    strength: bool
    truncation: bool
    object_seed: bool  # surfaces that are drawn have numbers
    defect_seed: bool  # so have defects
    number: bool  # noise is drawn: each number gives another picture

    @classmethod
    def of(cls, method):
        """Read them off a `Method`."""
        kinds, controls = pipeline.kinds_of(method.needs), method.controls
        return cls(
            surface="normal" in kinds,
            defect="defect" in kinds,
            mask="defect_mask" in method.needs,
            limit=bool({"limit", "where"} & set(controls)),
            strength="strength" in controls,
            truncation="truncation" in controls,
            object_seed="object_seed" in controls,
            defect_seed="defect_seed" in controls,
            number=method.noise is not None,
        )

    def lacking(self, name):
        """Say in a line what the method of this name cannot be told; "" where it is all there."""
        if not any(self):
            return f"method={name} has no controls: it draws one picture of a class."
        missing = []
        if not self.surface:
            missing.append("a surface (it draws its own)")
        if not self.defect:
            missing.append("which defect, its size or its turn (it draws its own of the class)")
        elif not self.strength:
            missing.append("how strong a defect is")
        if not self.limit:
            missing.append("where a defect may be")
        return f"method={name} cannot be told {'; '.join(missing)}." if missing else ""

"""Make masters, unless they are there: combine their frames, and write what comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daskred.arrays.sources import check_unchanged
from daskred.arrays.written import this_worker
from daskred.engine.progress import Progress
from daskred.model.errors import FrameError, FramesError
from daskred.model.plan import Correction, Given, Master
from daskred.model.receipt import Receipt
from daskred.options import Options
from daskred.products.expected import masters_of
from daskred.products.extensions import Extension
from daskred.products.provenance import Origin, content_of
from daskred.products.write import write_master
from daskred.run.advice import advice_on_rounding, advice_on_shutter, advice_on_skew
from daskred.run.combined import Combined
from daskred.run.files import calibration_files, contents_of
from daskred.run.ledger import Ledger
from daskred.run.masters import Combiner
from daskred.run.taken import convert_master, copy_master

if TYPE_CHECKING:
    from daskred.arrays.noise import MasterNoise


class _Pending(NamedTuple):
    """A master whose pixels are made, and which is to be judged and written."""

    master: Master
    combined: Combined
    seconds: float


def _needed(master: Master) -> tuple[str, ...]:
    """Return the masters that are read while one is made, also to tell its noise."""
    return masters_of(master.needs, [member.correction for member in master.inputs], uncertain=True)


def _in_turn(masters: Sequence[Master]) -> list[Master]:
    """Return masters, of each kind those first that others need, so that these wait least."""
    kinds = list(dict.fromkeys(master.kind for master in masters))
    needed = {name for master in masters for name in _needed(master)}
    return sorted(masters, key=lambda m: (kinds.index(m.kind), m.name not in needed))


@dataclass(frozen=True)
class MasterMaker:
    """Makes masters.

    Parameters
    ----------
    out
        The folder of products.
    options
        How.
    combiner
        Makes their pixels.
    ledger, progress
        Who is told.
    """

    out: Path
    options: Options
    combiner: Combiner
    ledger: Ledger
    progress: Progress

    def make(self, masters: Sequence[Master]) -> tuple[Receipt, ...]:
        """Make masters, unless they are there; return their receipts in the same order.

        While workers begin with one, the one before is judged and written here.
        """
        receipts: dict[str, Receipt] = {}
        pending: list[_Pending] = []
        finishing = 0.0  # seconds, which are those of the master that is finished

        def finish() -> None:
            nonlocal finishing
            start = time.monotonic()
            while pending:
                receipt = self._finish(*pending.pop())
                receipts[receipt.product] = receipt
            finishing += time.monotonic() - start

        try:
            for master in _in_turn(masters):
                if any(waiting.master.name in _needed(master) for waiting in pending):
                    finish()
                if receipt := self.ledger.look_up(master.product):
                    receipts[master.product] = receipt
                    continue
                if master.given:
                    receipts[master.product] = self._taken(master, master.given)
                    continue
                start = time.monotonic() - finishing
                combined = self.combiner.combine(master, finish)
                seconds = time.monotonic() - finishing - start
                pending.append(_Pending(master, combined, seconds))
            finish()
        except (FrameError, FramesError):
            finish()  # what is made is not lost for frames of another
            raise
        except BaseException:
            for waiting in pending:
                waiting.combined.remove()
            raise
        return tuple(receipts[master.product] for master in masters)

    def _taken(self, master: Master, given: Given) -> Receipt:
        """Take a master of another night."""
        start, target = time.monotonic(), self.out / master.product
        target.parent.mkdir(parents=True, exist_ok=True)
        if given.is_foreign:
            convert_master(master, given, target, self.options)
        else:
            copy_master(given, target, self.options)
        return self.ledger.add(
            Receipt(
                master.product,
                given.path,
                given.n_inputs,
                made=True,
                n_nan=-1,
                n_bytes=target.stat().st_size,
                seconds=time.monotonic() - start,
                worker=this_worker(),
            )
        )

    def _finish(self, master: Master, combined: Combined, seconds: float) -> Receipt:
        """Write a master whose pixels are made."""
        expected = self.ledger.expected(master.product)
        start = time.monotonic()
        n_bad: list[int] = []
        target = self.out / master.product
        try:
            combined = self.combiner.judged(master, combined)
            for member in master.inputs:
                check_unchanged(member.frame)
            pixels = [
                combined.bands(number, self.options.dtype, n_bad.append)
                for number in range(len(combined.rasters))
            ]
            content = content_of(combined.sums, contents_of(self.out, expected.masters))
            noise, scatter = self._noise(master, combined)
            levels = noise.zero_levels if noise else ()
            planes = [] if master.kind == "shutter" else self._planes(combined, noise)
            colours = any(part.phase for part in combined.level.parts)
            origin = Origin(expected.key, content, combined.figures, levels, colours, scatter)
            n_nan = write_master(
                target, master, self.options, combined.headers, pixels, planes, origin
            )
        finally:
            combined.remove()
        if master.kind == "flat" and any(n_bad):
            self.progress.say(
                f"{master.name}: {sum(n_bad)} pixels are zero or negative;"
                " the science frames have no value (NaN) there"
            )
        if advice := self._advice(master, combined):
            self.progress.say(advice)
        return self.ledger.add(
            Receipt(
                master.product,
                master.name,
                len(master.inputs),
                made=True,
                n_nan=n_nan,
                n_bytes=target.stat().st_size,
                seconds=seconds + time.monotonic() - start,
                worker=this_worker(),
                figures=combined.figures,
            )
        )

    def _advice(self, master: Master, combined: Combined) -> str:
        if master.kind == "shutter":
            return advice_on_shutter(master, combined.levels)
        return advice_on_rounding(master, self.options)

    def _planes(self, combined: Combined, noise: MasterNoise | None) -> list[Extension]:
        """Return what stands beside the pixels of a master."""
        options = self.options
        if not (options.mask or options.uncertainty or options.counts):
            return []
        # Few runs need them, and they take a while.
        from daskred.run.extensions import count_planes, mask_plane, uncertainty_plane

        planes: list[Extension] = []
        for number, raster in enumerate(combined.rasters):
            if options.mask:
                planes.append(mask_plane(raster, number))
            if noise:
                planes.append(uncertainty_plane(combined, number, noise))
            if options.counts:
                planes += count_planes(combined.counts[number], number)
        return planes

    def _noise(self, master: Master, combined: Combined) -> tuple[MasterNoise | None, float]:
        """Return what the uncertainty of a master follows from, and how well it tells the scatter.

        Where uncertainties are not wanted, nothing and NaN; nor are those of a shutter known.
        """
        if not self.options.uncertainty or master.kind == "shutter":
            return None, math.nan
        # Few runs need them, and they take a while.
        from daskred.arrays.agreement import checked_noise
        from daskred.arrays.noise import MasterNoise
        from daskred.arrays.zero import wants_zero_levels, zero_levels

        first, tiles = master.inputs[0], dict(enumerate(combined.tiles))
        readout, sampled = first.frame.readout, any(combined.tiles)
        zero = dark = None
        if first.correction.zero:
            bias = Correction(bias=first.correction.zero)
            zero = calibration_files(self.out, bias, uncertain=True)
        if master.is_lit:
            dark = calibration_files(self.out, first.correction, uncertain=True)
        by_scatter = sampled and wants_zero_levels(master.kind, readout, zero is not None)
        noise = MasterNoise(
            kind=master.kind,
            readout=readout,
            method=self.options.combine,
            rejection=self.options.rejection,
            zero=zero,
            levels=combined.levels,
            level=combined.level,
            weights=combined.weights,
            dark=dark,
            zero_levels=zero_levels(readout, tiles) if by_scatter else (),
        )
        if not sampled:
            return noise, math.nan
        noise, ratio = checked_noise(noise, tiles, combined.row)
        if noise.excess:
            self.progress.say(
                f"{master.name}: its frames scatter {math.sqrt(max(noise.excess)):.2f} times as"
                " much as gain and read noise tell; its uncertainties go by the scatter"
            )
        if advice := advice_on_skew(master, self.options, combined, noise):
            self.progress.say(advice)
        return noise, ratio

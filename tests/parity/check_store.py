#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens tile stores the way other tools do: h5py and PIL, CLAM's reading rules, TRIDENT's.

    check_store.py STORE.h5 [--slide SLIDE]     prints what it found; exit code 1 and the reason if wrong

CLAM's rule (dataset_modules/dataset_h5.py, wsi_core/wsi_utils.py at 53e2409): coords is level-0 x, y;
attributes patch_size and patch_level say what read_region(coord, patch_level, (patch_size,)*2) reads.
TRIDENT's rule (trident/IO.py read_coords, wsi_objects/WSIPatcher at a91fa84): attributes patch_size,
level0_magnification and target_magnification are required, overlap is optional; a patch covers
patch_size * level0_magnification / target_magnification level-0 pixels.
With --slide (a TIFF that PIL reads, level 0) the pixels of lossless stores are compared as well.
"""
import argparse
import ctypes
import ctypes.util
import io
import json
import re
import sys
import tarfile

import h5py
import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


def need(condition, message):
    if not condition:
        raise AssertionError(message)


def tile_image(store, i):
    """The five lines a user needs."""
    start, stop = store["tiles/offsets"][i:i + 2]
    data = store["tiles/bytes"][start:stop].tobytes()
    if store.attrs["encoding"] == "raw":
        side = int(store.attrs["tile_size"])
        return Image.frombytes("RGB", (side, side), data)
    return Image.open(io.BytesIO(data)).convert("RGB")


def check_schema(store):
    attrs = store.attrs
    need(attrs["format"] == "eosin-tiles" and attrs["version"] == 1 and attrs["complete"] == 1,
         "format, version or complete")
    for name in ("slide", "slide_hash", "vendor", "mpp_source", "encoding", "settings", "software"):
        need(isinstance(attrs[name], str), f"{name} is no string")
    json.loads(attrs["settings"])
    coords, count = store["coords"], store["coords"].shape[0]
    need(coords.dtype == np.int64 and coords.shape == (count, 2), "coords")
    need(coords.chunks == (4096, 2) and coords.maxshape[0] is None, "chunks of coords")
    data, offsets = store["tiles/bytes"], store["tiles/offsets"]
    need(data.dtype == np.uint8 and data.chunks == (1 << 20,), "tiles/bytes")
    check_chunks(data)
    need(offsets.dtype == np.uint64 and offsets.shape == (count + 1,), "tiles/offsets")
    need(offsets[0] == 0 and offsets[-1] == data.shape[0], "ends of tiles/offsets")
    need(store["tissue"].dtype == np.float32 and store["tissue"].shape == (count,), "tissue")
    need(store["status"].dtype == np.uint8 and store["status"].shape == (count,), "status")
    for name in store["preview"]:
        Image.open(io.BytesIO(store["preview"][name][:].tobytes())).load()
    check_columns(store, count)
    check_hashes(store)
    return count


def check_chunks(data):
    """Full chunks lie in the file as they are; only the last is packed."""
    for i in range(data.id.get_num_chunks()):
        chunk = data.id.get_chunk_info(i)
        full = chunk.chunk_offset[0] + (1 << 20) <= data.shape[0]
        need((chunk.filter_mask == 1 and chunk.size == 1 << 20) if full
             else chunk.size < data.shape[0] - chunk.chunk_offset[0] + 2048, f"chunk {i} of tiles/bytes")


def check_columns(store, count):
    """Scores, stain statistics, class ids and masks, where they are."""
    settings = json.loads(store.attrs["settings"])
    need(("quality" in store) == (settings["quality"] != "none"), "quality")
    need(("stain" in store) == (settings["stain"] != "none"), "stain")
    pixels = store["status"][:] != 3
    if "quality" in store:
        need(sorted(store["quality"]) == ["black", "blur", "fold", "pen", "white"], "names of scores")
        for name, scores in store["quality"].items():
            need(scores.dtype == np.float32 and scores.shape == (count,), f"quality/{name}")
            need(((scores[:][pixels] >= 0) & (scores[:][pixels] <= 1)).all(), f"range of quality/{name}")
    if "stain" in store:
        columns = store["stain"].attrs["columns"].split(",")
        need(store["stain"].dtype == np.float32 and store["stain"].shape == (count, len(columns)), "stain")
        lightness = store["stain"][:, columns.index("lab_mean_l")][pixels]
        need(((lightness >= 0) & (lightness <= 100)).all(), "range of lab_mean_l")
    for name, labels in store.get("labels", {}).items():
        need("=" in labels.attrs["classes"], f"classes of labels/{name}")
        if isinstance(labels, h5py.Dataset):
            need(labels.dtype == np.int64 and labels.shape == (count,), f"labels/{name}")
            continue
        need(labels["offsets"].dtype == np.uint64 and labels["offsets"].shape == (count + 1,), name)
        side = int(store.attrs["tile_size"])
        for i in range(count):
            start, stop = labels["offsets"][i:i + 2]
            if start < stop or pixels[i]:
                mask = np.array(Image.open(io.BytesIO(labels["bytes"][start:stop].tobytes())))
                need(mask.shape == (side, side) and mask.dtype == np.uint8, f"mask {i} of {name}")


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh3(data):
    """What xxhash.xxh3_128_hexdigest of PyPI's xxhash gives, from the C library."""
    library = ctypes.CDLL(ctypes.util.find_library("xxhash"))
    library.XXH3_128bits.restype = Hash128
    library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    hashed = library.XXH3_128bits(data, len(data))
    return f"{hashed.high:016x}{hashed.low:016x}"


def check_hashes(store):
    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            need(item.attrs["xxh3"] == xxh3(item[()].tobytes()), f"hash of {name}")
    store.visititems(visit)
    need(len(store.attrs["xxh3"]) == 32, "hash of the attributes")


def check_clam(store):
    """Returns the level that CLAM would read, or None when the store says that none fits."""
    attrs = store["coords"].attrs
    if "patch_level" not in attrs:
        need("--export clam" in attrs["clam"], "no patch_level and no word on it")
        return None
    level, size = attrs["patch_level"], attrs["patch_size"]
    need(isinstance(level, np.integer) and isinstance(size, np.integer), "CLAM's integers")
    need(isinstance(attrs["name"], str) and attrs["save_path"] == ".", "CLAM's strings")
    need(attrs["downsample"].shape == (2,) and attrs["downsample"].dtype == np.float64, "downsample")
    for name in ("level_dim", "downsampled_level_dim"):
        need(attrs[name].shape == (2,) and attrs[name].dtype == np.int64, name)
    # StitchCoords: the patch on level 0, cut to whole pixels; it may not leave the slide.
    covers = (np.array((size, size)) * attrs["downsample"]).astype(np.int32)
    corner = store["coords"][:].max(axis=0) + covers
    need((corner <= (store.attrs["width"], store.attrs["height"])).all(), "CLAM reads past the slide")
    mpp = np.sqrt(store.attrs["mpp_x"] * store.attrs["mpp_y"]) * attrs["downsample"][0]
    need(abs(mpp / store.attrs["tile_mpp"] - 1) < 1e-9, "CLAM reads another scale")
    return int(level)


def check_trident(store):
    attrs = dict(store["coords"].attrs)
    for key in ("patch_size", "level0_magnification", "target_magnification"):
        need(attrs.get(key) is not None and attrs[key] != "None", f"TRIDENT needs {key}")
    size0 = attrs["patch_size"] * attrs["level0_magnification"] / attrs["target_magnification"]
    need(abs(size0 - attrs["patch_size_level0"]) <= 0.5001, "patch_size_level0")
    need(attrs["overlap"] == store.attrs["tile_size"] - store.attrs["stride"], "overlap")
    need((attrs["level0_width"], attrs["level0_height"])
         == (store.attrs["width"], store.attrs["height"]), "level 0 of TRIDENT")
    need(attrs["savetodir"] == ".", "savetodir")
    corner = store["coords"][:].max(axis=0) + attrs["patch_size_level0"]
    need((corner <= (attrs["level0_width"], attrs["level0_height"])).all(), "a patch leaves the slide")


def check_tiles(store, slide):
    """Decodes every tile; returns how many were compared with the slide's own pixels."""
    side = int(store.attrs["tile_size"])
    level0 = np.asarray(slide) if slide is not None else None
    lossless = store.attrs["encoding"] != "jpeg" and store.attrs["patch_level"] == 0
    compared = 0
    for i, (x, y) in enumerate(store["coords"][:]):
        if store["status"][i] == 3:
            continue
        tile = np.asarray(tile_image(store, i))
        need(tile.shape == (side, side, 3), f"tile {i} is {tile.shape}")
        if level0 is not None and lossless:
            need((tile == level0[y:y + side, x:x + side]).all(), f"pixels of tile {i}")
            compared += 1
    return compared


def check_store(path, slide=None):
    with h5py.File(path, "r") as store:
        count = check_schema(store)
        level = check_clam(store)
        check_trident(store)
        compared = check_tiles(store, Image.open(slide).convert("RGB") if slide else None)
        return (f"{count} tiles of {store.attrs['tile_size']} px at {store.attrs['tile_mpp']:.4g} um/px, "
                f"CLAM level {level}, {compared} compared with the slide's pixels")


def check_clam_sidecar(path, store_path):
    with h5py.File(path, "r") as clam, h5py.File(store_path, "r") as store:
        coords = clam["coords"]
        need(coords.attrs["patch_level"] == 0, "patch_level of the sidecar")
        need(coords.attrs["patch_size"] == store["coords"].attrs["patch_size_level0"], "patch_size")
        need((coords[:] == store["coords"][:][store["status"][:] != 3]).all(), "coords of the sidecar")


def check_webdataset(path, store_path):
    """Groups a tar's members as webdataset does (base_plus_ext: a key ends at its first dot)."""
    samples = {}
    with tarfile.open(path) as tar:
        for member in tar:
            need(member.isfile() and member.mtime == 0, f"{member.name} is no plain file")
            key, extension = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name).groups()
            samples.setdefault(key, {})[extension] = tar.extractfile(member).read()
    with h5py.File(store_path, "r") as store:
        good = np.flatnonzero(store["status"][:] != 3)
        need(len(samples) == len(good), f"{len(samples)} samples for {len(good)} tiles")
        picture = "jpg" if store.attrs["encoding"] == "jpeg" else "png"
        for i, sample in zip(good, samples.values()):
            facts = json.loads(sample["json"])
            need([facts["x"], facts["y"]] == store["coords"][i].tolist(), f"place of sample {i}")
            need(facts["mpp"] == store.attrs["tile_mpp"] and facts["slide"] == store.attrs["slide"], "facts")
            need(abs(facts["tissue"] - store["tissue"][i]) < 1e-4, f"tissue of sample {i}")
            need(facts.get("patient") == store.attrs.get("patient"), "patient")
            tile = np.asarray(Image.open(io.BytesIO(sample[picture])).convert("RGB"))
            need((tile == np.asarray(tile_image(store, i))).all(), f"pixels of sample {i}")
            if "annotation" in store.get("labels", {}):
                Image.open(io.BytesIO(sample["annotation.png"])).load()
            if "class" in store.get("labels", {}):
                need(facts["class"] == store["labels/class"][i], f"class of sample {i}")
    return len(samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="+")
    parser.add_argument("--slide")
    arguments = parser.parse_args()
    for path in arguments.store:
        try:
            print(f"{path}: {check_store(path, arguments.slide)}")
        except (AssertionError, KeyError, OSError) as error:
            sys.exit(f"{path}: {error!r}")


if __name__ == "__main__":
    main()

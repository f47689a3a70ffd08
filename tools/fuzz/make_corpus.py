#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seeds of the fuzz targets, tools/fuzz/corpus/<target>/: small valid files of every kind a parser knows, and a few
broken ones. Run by hand after adding a kind:  .venv-parity/bin/python tools/fuzz/make_corpus.py
"""
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib

import numpy
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "..", "tests", "fixtures")


def keep(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    assert len(data) < 20000, (target, name, len(data))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def picture(width=16, height=16, mode="RGB"):
    y, x = numpy.mgrid[0:height, 0:width]
    rgb = numpy.stack([200 - 3 * x, 90 + 4 * y, 160 + x - y], -1).astype(numpy.uint8)
    return Image.fromarray(rgb).convert(mode)


def encoded(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


# ---- pictures

def pictures():
    keep("picture", "420.jpg", encoded(picture(), "JPEG", quality=60))
    keep("picture", "444.jpg", encoded(picture(9, 5), "JPEG", quality=90, subsampling=0))
    keep("picture", "gray.jpg", encoded(picture(mode="L"), "JPEG"))
    keep("picture", "progressive.jpg", encoded(picture(), "JPEG", progressive=True))
    keep("picture", "restart.jpg", encoded(picture(32, 32), "JPEG", restart_marker_blocks=1))
    keep("picture", "cmyk.jpg", encoded(picture(mode="CMYK"), "JPEG"))
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        keep("picture", mode + ".png", encoded(picture(mode=mode), "PNG"))
    keep("picture", "16.png", encoded(Image.fromarray(numpy.arange(64, dtype=numpy.uint16).reshape(8, 8)), "PNG"))
    keep("picture", "cut.png", encoded(picture(), "PNG")[:60])


# ---- tiled TIFF

def split_tables(jpeg):
    stream, tables, i = bytearray(b"\xff\xd8"), bytearray(b"\xff\xd8"), 2
    while True:
        marker, length = jpeg[i + 1], int.from_bytes(jpeg[i + 2:i + 4], "big")
        segment = jpeg[i:i + 2 + length]
        if marker == 0xDA:
            return bytes(stream) + jpeg[i:], bytes(tables) + b"\xff\xd9"
        if marker in (0xDB, 0xC4):
            tables += segment
        elif not 0xE0 <= marker <= 0xEF:
            stream += segment
        i += 2 + length


def lzw(data):
    """TIFF's LZW: codes of 9 to 12 bits from the high bit, one code early."""
    out, bits, width = 0, 0, 9
    table = {bytes([i]): i for i in range(256)}
    codes = [(256, 9)]
    following, text = 258, b""
    for value in data:
        longer = text + bytes([value])
        if longer in table:
            text = longer
            continue
        codes.append((table[text], width))
        table[longer] = following
        following += 1
        if following == 511:
            width = 10
        text = bytes([value])
    codes += [(table[text], width), (257, width)]
    for code, size in codes:
        out, bits = out << size | code, bits + size
    out <<= -bits % 8
    return out.to_bytes((bits + 7) // 8, "big")


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}


class Tiff:
    """A classic or BigTIFF in either byte order; directories are lists of (tag, type, values)."""

    def __init__(self, order="<", big=False):
        self.order, self.big, self.data, self.directories = order, big, bytearray(16), []

    def append(self, data):
        at = len(self.data)
        self.data += data + b"\0" * (len(data) % 2)
        return at

    def pack(self, kind, values):
        if kind in (2, 7, 1):
            return bytes(values)
        code = {3: "H", 4: "I", 5: "I", 16: "Q"}[kind]
        return struct.pack(self.order + code * len(values), *values)

    def finish(self, loop=False):
        link, places = 8 if self.big else 4, []
        for fields in self.directories:
            body = b""
            for tag, kind, values in sorted(fields):
                packed = self.pack(kind, values)
                count = len(packed) // SIZES[kind]
                room = 8 if self.big else 4
                if len(packed) > room:
                    packed = struct.pack(self.order + ("Q" if self.big else "I"), self.append(packed))
                body += struct.pack(self.order + ("HHQ" if self.big else "HHI"), tag, kind, count) + packed.ljust(room, b"\0")
            head = struct.pack(self.order + ("Q" if self.big else "H"), len(fields))
            at = self.append(head + body + b"\0" * (8 if self.big else 4))
            places.append((link, at))
            link = at + len(head) + len(body)
        if loop:
            places.append((link, places[0][1]))
        for where, at in places:
            packed = struct.pack(self.order + ("Q" if self.big else "I"), at)
            self.data[where:where + len(packed)] = packed
        mark = b"II" if self.order == "<" else b"MM"
        self.data[0:4] = mark + struct.pack(self.order + "H", 43 if self.big else 42)
        if self.big:
            self.data[4:8] = struct.pack(self.order + "HH", 8, 0)
        return bytes(self.data)


APERIO = b"Aperio Image Library v11\r\n40x24 [0,0 40x24] (16x16) JPEG/YCC Q=70|AppMag = 20|MPP = 0.4990\0"


def level(tiff, width, height, compression, photometric=2, predictor=1, description=b"", tile=16, more=(), strips=False):
    long = 16 if tiff.big else 4
    columns = 1 if strips else -(-width // tile)
    pieces, tables = [], b""
    for _ in range(columns * -(-height // tile)):
        image = picture(width if strips else tile, tile)
        pixels = numpy.asarray(image).astype(numpy.uint8)
        if predictor == 2:
            pixels = numpy.concatenate([pixels[:, :1], numpy.diff(pixels.astype(int), axis=1).astype(numpy.uint8)], 1)
        raw = pixels.tobytes()
        if compression == 7:
            data, tables = split_tables(encoded(image, "JPEG", quality=60))
        else:
            data = {1: raw, 5: lzw(raw) if compression == 5 else b"", 8: zlib.compress(raw), 32773: b"".join(
                bytes([len(part) - 1]) + part for part in (raw[i:i + 128] for i in range(0, len(raw), 128)))}[compression]
        pieces.append((tiff.append(data), len(data)))
    fields = [(256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [compression]), (262, 3, [photometric]),
              (277, 3, [3]), (284, 3, [1]), (317, 3, [predictor])]
    places, counts = [p for p, _ in pieces], [c for _, c in pieces]
    if strips:
        fields += [(273, long, places), (278, 4, [tile]), (279, long, counts)]
    else:
        fields += [(322, 4, [tile]), (323, 4, [tile]), (324, long, places), (325, long, counts)]
    if description:
        fields.append((270, 2, description))
    if tables:
        fields += [(347, 7, tables), (530, 3, [2, 2])]
    tiff.directories.append(fields + list(more))


def slides():
    def one(name, *levels, order="<", big=False, loop=False, **options):
        tiff = Tiff(order, big)
        for arguments in levels:
            level(tiff, **arguments)
        data = tiff.finish(loop)
        keep("slide", name, data)
        if name.startswith(("aperio", "big", "motorola", "loop", "lzw.")):
            keep("tiff_directory", name, data)

    ycc = dict(compression=7, photometric=6)
    first = dict(width=40, height=24, description=APERIO)
    thumbnail = dict(width=20, height=12, strips=True, description=b"Aperio Image Library v11\r\n40x24 -> 20x12 -\0")
    label = dict(width=20, height=12, compression=5, predictor=2, strips=True, description=b"Aperio\r\nlabel 20x12\0", more=[(254, 4, [1])])
    one("aperio_jpeg.svs", {**first, **ycc}, {**thumbnail, **ycc}, {**ycc, "width": 10, "height": 6, "description": APERIO.replace(b"20|", b"20|")},
        label)
    one("aperio_rgb.svs", {**first, "compression": 7, "photometric": 2})
    resolution = [(282, 5, [20040, 1]), (283, 5, [20040, 1]), (296, 3, [3])]
    for name, compression, predictor in (("none", 1, 1), ("lzw", 5, 1), ("lzw_predictor", 5, 2), ("deflate", 8, 1), ("deflate_predictor", 8, 2)):
        one(name + ".tif", dict(width=40, height=24, compression=compression, predictor=predictor, more=resolution),
            dict(width=20, height=12, compression=compression, predictor=predictor, more=[(254, 4, [1])]))
    one("big.tif", dict(width=40, height=24, compression=8, more=resolution), big=True)
    one("motorola.tif", dict(width=40, height=24, compression=8, more=resolution), order=">")
    one("loop.tif", dict(width=16, height=16, compression=1), loop=True)
    tiff = Tiff()
    level(tiff, 40, 24, 8)
    fields = dict((tag, (kind, values)) for tag, kind, values in tiff.directories[0])
    fields[325] = (4, [0, *fields[325][1][1:]])
    tiff.directories[0] = [(tag, *rest) for tag, rest in fields.items()]
    keep("slide", "empty_tile.tif", tiff.finish())
    tiff = Tiff()
    level(tiff, 40, 24, 7, photometric=6)
    tiff.directories[0] = [(tag, kind, values * 2 if tag == 324 else values) for tag, kind, values in tiff.directories[0]]
    tiff.directories[0] = [(tag, kind, [0] * 6 + [1] if tag == 325 else values) for tag, kind, values in tiff.directories[0]]
    data = tiff.finish()
    keep("slide", "more_offsets_than_counts.tif", data)
    keep("tiff_directory", "more_offsets_than_counts.tif", data)


def streams():
    for colour, name, options in ((1, "ycc", {}), (1, "ycc444", {"subsampling": 0}), (2, "rgb", {}), (1, "restart", {"restart_marker_blocks": 1}),
                                  (1, "progressive", {"progressive": True})):
        jpeg = encoded(picture(32, 16), "JPEG", quality=60, **options)
        keep("jpeg_stream", name + "_whole", bytes([colour, 0, 0]) + jpeg)
        if name != "progressive":
            stream, tables = split_tables(jpeg)
            keep("jpeg_stream", name, bytes([colour]) + struct.pack("<H", len(tables)) + tables + stream)
    keep("jpeg_stream", "grey", bytes(3) + encoded(picture(32, 16, "L"), "JPEG"))
    for grey in (0, 8):
        raw = numpy.asarray(picture(mode="L" if grey else "RGB")).tobytes()
        for kind, data in enumerate((raw, lzw(raw), zlib.compress(raw), zlib.compress(raw)[:50])):
            keep("tile_codec", f"{kind}_{grey}", bytes([min(kind, 2) | grey]) + data)
            keep("tile_codec", f"{kind}_{grey}_predicted", bytes([min(kind, 2) | grey | 4]) + data)


# ---- text

SQUARE = [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]
HOLE = [[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]


def feature(kind, coordinates, name="tumor"):
    return {"type": "Feature", "id": "PathAnnotationObject", "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}}}


ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
 <Annotations>
  <Annotation Name="A 1" Type="Polygon" PartOfGroup="tumor" Color="#F4FA58">
   <Coordinates><Coordinate Order="0" X="0" Y="0"/><Coordinate Order="1" X="40.5" Y="0"/><Coordinate Order="2" X="40" Y="4e1"/></Coordinates>
  </Annotation>
  <Annotation Name="dot &amp; line" Type="Dot" PartOfGroup="None"><Coordinates><Coordinate Order="0" X="3" Y="4"/></Coordinates></Annotation>
  <Annotation Name="R" Type="Rectangle" PartOfGroup="tumor"><Coordinates><Coordinate Order="0" X="1" Y="1"/><Coordinate Order="1" X="9" Y="1"/>
   <Coordinate Order="2" X="9" Y="9"/><Coordinate Order="3" X="1" Y="9"/></Coordinates></Annotation>
 </Annotations>
 <AnnotationGroups><Group Name="tumor" PartOfGroup="None" Color="#aa0000"><Attributes/></Group></AnnotationGroups>
</ASAP_Annotations>
"""
IMAGESCOPE = """<?xml version="1.0"?>
<Annotations MicronsPerPixel="0.499000">
 <Annotation Id="1" Name="tumor" LineColor="65280"><Attributes><Attribute Name="Description" Id="0" Value="stroma"/></Attributes>
  <Regions><RegionAttributeHeaders/>
   <Region Id="1" Type="0" NegativeROA="0" Text=""><Vertices><Vertex X="0" Y="0" Z="0"/><Vertex X="40" Y="0"/><Vertex X="40" Y="40"/></Vertices></Region>
   <Region Id="2" Type="0" NegativeROA="1"><Vertices><Vertex X="20" Y="5"/><Vertex X="25" Y="5"/><Vertex X="25" Y="10"/></Vertices></Region>
   <Region Id="3" Type="1"><Vertices><Vertex X="2" Y="2"/><Vertex X="8" Y="2"/><Vertex X="8" Y="8"/><Vertex X="2" Y="8"/></Vertices></Region>
   <Region Id="4" Type="2"><Vertices><Vertex X="2" Y="2"/><Vertex X="80" Y="60"/></Vertices></Region>
  </Regions></Annotation>
</Annotations>
"""


def annotations():
    files = {
        "qupath.geojson": json.dumps({"type": "FeatureCollection", "features": [
            feature("Polygon", [SQUARE, HOLE]), feature("MultiPolygon", [[SQUARE], [HOLE]], "stroma"), feature("Point", [3, 4]),
            {"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}]},
             "properties": {"name": "x", "classification": {"names": ["Immune", "CD8"]}, "childObjects": [feature("Polygon", [HOLE], "a")]}}]}),
        "array.geojson": json.dumps([feature("Polygon", [SQUARE])]).replace("[200", "[NaN"),
        "geometry.geojson": json.dumps({"type": "Polygon", "coordinates": [SQUARE, HOLE]}),
        "asap.xml": ASAP, "imagescope.xml": IMAGESCOPE,
        "entities.xml": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><ASAP_Annotations>&c;</ASAP_Annotations>',
        "latin.xml": ASAP.replace('"1.0"', '"1.0" encoding="ISO-8859-1"').replace("A 1", "\xe9").encode("latin-1"),
        "utf16.xml": b"\xff\xfe" + IMAGESCOPE.encode("utf-16-le"),
    }
    for name, text in files.items():
        keep("annotations", name, text)
        classes = b"tumor=1,stroma=2,artefact=ignore,a=exclude,Immune: CD8=include\n"
        keep("label_map", name, classes + (text if isinstance(text, bytes) else text.encode()))


def tables():
    keep("csv", "plain.csv", "a,b\n1,2\n")
    keep("csv", "quoted.csv", '\ufeffname,text\r\n"a, b","say ""so""\r\ntwice"\r\nc,\r\n')
    keep("csv", "one.csv", "name")
    keep("csv", "ragged.csv", "a,b\n1\n")
    keep("slide_list", "ours.csv", "slide,mpp,annotation,class,patient\na.svs,0.25,a.geojson,tumor,p1\nb/c.svs,,,,\n")
    keep("slide_list", "clam.csv", "slide_id,process,status,label,case_id\nTCGA-1,1,tbp,LUAD,P1\nTCGA-2,0,tbp,LUSC,P2\n")
    keep("slide_list", "trident.csv", "wsi,mpp\nx.svs,0.5\ny.svs,abc\n")
    keep("slide_list", "typo.csv", "slide,mp\nx.svs,1\n")


# ---- weights

def zip_of(entries, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def fixture(name):
    return open(os.path.join(FIXTURES, "weights", name), "rb").read()


def weights():
    for name in ("zip.pth", "legacy.pth", "tar.pth", "wrapped.pth", "hostile.pth"):
        keep("pth", name, fixture(name))
    keep("safetensors", "small.safetensors", fixture("small.safetensors"))
    header = json.dumps({"__metadata__": {"a": "b"}, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                         "y": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]}}).encode()
    keep("safetensors", "two.safetensors", struct.pack("<Q", len(header)) + header + bytes(16))
    keep("safetensors", "huge.safetensors", struct.pack("<Q", 1 << 60) + b"{}")
    values = {"a": [1, -2, 3.5, None, True, "text", b"bytes"], "b": (1, (2, 3)), 5: 2 ** 70, "c": {"d": []}}
    for protocol in range(2, 5):
        keep("pickle", f"values{protocol}.pkl", pickle.dumps(values, protocol))
    with zipfile.ZipFile(io.BytesIO(fixture("zip.pth"))) as archive:
        keep("pickle", "state_dict.pkl", next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl")))
    keep("pickle", "call.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    keep("zip", "stored.zip", zip_of({"a/data.pkl": b"abc", "a/version": b"3\n", "a/data/0": bytes(64)}))
    keep("zip", "deflated.zip", zip_of({"a": bytes(100)}, zipfile.ZIP_DEFLATED))
    keep("zip", "empty.zip", zip_of({}))


# ---- CIFAR-10 batches (first byte 0) and STL-10 folds (1)

def binary_sets():
    record = bytes([7]) + bytes(i % 251 for i in range(3072))
    keep("binary_set", "batch.bin", b"\0" + record + bytes([9]) + record[1:])
    keep("binary_set", "cut.bin", b"\0" + record[:-1])
    keep("binary_set", "label.bin", b"\0" + bytes([10]) + record[1:])
    keep("binary_set", "folds.txt", "\1" + "".join(f"{i} {4999 - i} {i * 37} \n" for i in range(10)))
    keep("binary_set", "range.txt", "\1" + "1 2 5000\n" * 10)


def main():
    shutil.rmtree(os.path.join(HERE, "corpus"), ignore_errors=True)
    for make in (pictures, slides, streams, annotations, tables, weights, binary_sets):
        make()
    total = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(os.path.join(HERE, "corpus")) for f in files)
    print(f"{total} bytes of seeds")


main()

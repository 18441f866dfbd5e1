#!/usr/bin/env python3
"""Reads Lastword's records with nothing but Python's standard library and WIRE.md.

The primitive values and what they may be are written here; every structure, every enum and every
table of TLV types is taken from the page, so the page cannot say less than a reader needs.

    python3 wire_reader.py FILE...      shows each record (hex digits) as JSON
    python3 wire_reader.py --lines      answers hex lines from standard input, one JSON line each:
                                        {"value": ...} or {"refused": "why"}
"""

import functools
import json
import pathlib
import re
import sys

PAGE = pathlib.Path(__file__).with_name("WIRE.md")
MAX_RECORD_BYTES = 1 << 30


class Refused(Exception):
    """The bytes are not a record."""


# What is read: bytes, from the first to the last.


class Bytes:
    """A byte string that is taken from the front."""

    def __init__(self, data, start=0):
        self.data, self.at, self.start = data, 0, start

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused(f"{self.start + self.at}: {count} bytes are not there")
        self.at += count
        return self.data[self.at - count:self.at]

    def is_empty(self):
        return self.at == len(self.data)

    def integer(self, bits):
        """bincode's integer: little-endian, in its shortest form, not wider than its field."""
        first = self.take(1)[0]
        if first <= 250:
            return first
        width = {251: 2, 252: 4, 253: 8}.get(first)
        if width is None or width * 8 > bits:
            raise Refused(f"{self.start + self.at - 1}: no integer of {bits} bits begins with {first:02x}")
        value = int.from_bytes(self.take(width), "little")
        if value <= {2: 250, 4: 0xFFFF, 8: 0xFFFFFFFF}[width]:
            raise Refused(f"{self.start + self.at - width}: an integer in a longer form")
        return value

    def compact(self, order):
        """BOLT 1's BigSize (big-endian) or Bitcoin's CompactSize (little-endian), in the shortest form."""
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        value = int.from_bytes(self.take(width), order)
        if value < {2: 0xFD, 4: 0x10000, 8: 0x100000000}[width]:
            raise Refused(f"{self.start + self.at - width}: a length in a longer form")
        return value


# What some byte strings have to be.

FIELD = 2**256 - 2**32 - 977
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@functools.lru_cache(maxsize=4096)
def is_point(data):
    """Whether 33 bytes are a compressed point of secp256k1."""
    x = int.from_bytes(data[1:], "big")
    square = (x**3 + 7) % FIELD
    return data[0] in (2, 3) and x < FIELD and pow(square, (FIELD - 1) // 2, FIELD) <= 1


def is_signature(data):
    """Whether 64 bytes are two numbers below the group order."""
    return all(int.from_bytes(half, "big") < GROUP_ORDER for half in (data[:32], data[32:]))


def is_transaction(data):
    """Whether the bytes are one transaction in consensus encoding, to the last of them."""
    left = Bytes(data)

    def many(read):
        return [read() for _ in range(left.compact("little"))]

    def string():
        return left.take(left.compact("little"))

    try:
        left.take(4)
        inputs = many(lambda: (left.take(36), string(), left.take(4)))
        has_witnesses = not inputs
        if has_witnesses:
            if left.take(1) != b"\x01":
                return False
            inputs = many(lambda: (left.take(36), string(), left.take(4)))
        outputs = many(lambda: (left.take(8), string()))
        witnesses = [many(string) for _ in inputs] if has_witnesses else []
        left.take(4)
    except Refused:
        return False
    # Witnesses that are all empty have a shorter form without any.
    return left.is_empty() and (not has_witnesses or any(witnesses) or not inputs)


def require(holds, what):
    if not holds:
        raise Refused(what)


# The values of WIRE.md, each a function from bytes to a value. Values compare as keys do.


def fixed(count, check=None):
    def read(data):
        value = data.take(count)
        require(check is None or check(value), f"{data.start + data.at}: {check and check.__name__} says no")
        return value
    return read


def integer(bits, below=None):
    def read(data):
        value = data.integer(bits)
        require(below is None or value < below, f"{data.start + data.at}: {value} is out of range")
        return value
    return read


def signed(data):
    value = data.integer(64)
    return -(value // 2) - 1 if value % 2 else value // 2


def boolean(data):
    value = data.take(1)[0]
    require(value <= 1, f"{data.start + data.at}: {value:02x} is no bool")
    return value == 1


def string(check=None):
    def read(data):
        value = data.take(data.integer(64))
        require(check is None or check(value), f"{data.start + data.at}: {check and check.__name__} says no")
        return value
    return read


def are_signatures(data):
    return len(data) % 64 == 0 and all(is_signature(data[at:at + 64]) for at in range(0, len(data), 64))


def list_of(element):
    return lambda data: [element(data) for _ in range(data.integer(64))]


def rising(elements, key):
    keys = [key(element) for element in elements]
    require(all(before < after for before, after in zip(keys, keys[1:])), "keys do not rise")
    return elements


def set_of(element):
    return lambda data: rising(list_of(element)(data), comparable)


def map_of(key, value):
    return lambda data: rising(list_of(lambda data: (key(data), value(data)))(data), lambda pair: comparable(pair[0]))


def maybe(value):
    def read(data):
        return value(data) if boolean(data) else None
    return read


def structure(fields):
    return lambda data: {name: read(data) for name, read in fields}


def enum(variants):
    def read(data):
        index = data.integer(32)
        require(index < len(variants), f"{data.start + data.at}: there is no variant {index}")
        name, fields = variants[index]
        return {"is": name, "index": index, **fields(data)}
    return read


def comparable(value):
    """Bytes and integers by value, structures field by field, enums by index and then by fields."""
    if isinstance(value, dict):
        return [comparable(field) for name, field in value.items() if name != "is"]
    return value


PRIMITIVES = {
    "u8": lambda data: data.take(1)[0],
    "u16": integer(16),
    "u32": integer(32),
    "u64": integer(64),
    "i64": signed,
    "bool": boolean,
    "bytes": string(),
    "()": lambda data: True,
}
# Leaf types that are not every value of their bytes.
CHECKED = {
    "point": fixed(33, is_point),
    "signature": fixed(64, is_signature),
    "signatures": string(are_signatures),
    "transaction": string(is_transaction),
    "number": integer(64, below=1 << 48),
    "index": integer(64, below=1 << 48),
}


# The page: its structures, its tables.


class Page:
    """What WIRE.md says."""

    def __init__(self, text):
        self.names = dict(PRIMITIVES)
        self.amounts = []
        self.definitions = {}
        self.kinds = {}
        self.tables = {}
        self.leaves(text)
        for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
            self.define(block)
        self.records(text)

    def leaves(self, text):
        table = text.split("Leaf types")[1].split("\n## ")[0]
        for cells in rows(table):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                read = CHECKED.get(name) or self.type(cells[1].strip("`"))
                if name.startswith("…"):
                    self.amounts.append((name[1:], read))
                self.names[name] = read

    def define(self, block):
        """Takes in a block of definitions: a name at the start of a line begins one."""
        for text in re.split(r"\n(?=\w)", block.strip("\n")):
            match = re.match(r"(\w+) +(.*)", text, re.DOTALL)
            if match:
                lines = [line.strip() for line in match[2].splitlines()]
                self.definitions[match[1]] = [line for line in lines if not line.startswith("(")]

    def type(self, words):
        """Returns the reader of a type."""
        words = words.strip("` ")
        if words.endswith("?"):
            return maybe(self.type(words[:-1]))
        if words.startswith("list of "):
            return list_of(self.type(words[8:]))
        if words.startswith("set of "):
            return set_of(self.type(words[7:]))
        if words.startswith("map of "):
            key, value = words[7:].split(" to ")
            return map_of(self.type(key), self.type(value))
        if words.startswith("("):
            return self.fields(words[1:-1])
        if re.fullmatch(r"\[\d+\]", words):
            return fixed(int(words[1:-1]))
        if words in self.names:
            return self.names[words]
        for ending, read in self.amounts:
            if words.endswith(ending):
                return read
        if words not in self.definitions:
            raise SystemExit(f"WIRE.md does not say what `{words}` is")
        self.names[words] = self.definition(self.definitions[words])
        return self.names[words]

    def field(self, words):
        """Returns a field's name and reader: a word or two and a type, or the type alone."""
        words = words.strip()
        found = re.search(r"(?:^| )((?:list|set|map) of .*|\(.*\)|\S+)$", words)
        return words[:found.start(1)].strip() or words, self.type(found[1])

    def fields(self, words):
        fields = [field.strip() for field in words.split(" · ") if field.strip()]
        named = [self.field(field) for field in fields]
        names = [name for name, _ in named]
        return structure([
            (words if names.count(name) > 1 else name, read) for words, (name, read) in zip(fields, named)
        ])

    def definition(self, lines):
        if not lines[0].startswith("enum"):
            return self.fields(" ".join(lines))
        body = " · ".join([lines[0][4:].strip(), *lines[1:]]).replace("· ·", "·")
        variants = []
        for at, variant in enumerate(re.split(r"(?:^| · )(?=\d+ )", body)[1:]):
            index, rest = variant.split(" ", 1)
            require(int(index) == at, f"variant {index} of `{body}` stands at {at}")
            name, _, fields = rest.partition("  ")
            variants.append((name, self.fields(fields)))
        return enum(variants)

    def records(self, text):
        sections = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
        for byte, kind, *_ in rows(sections["Record kinds"]):
            self.kinds[int(byte.strip("`"), 16)] = kind.strip("`")
        self.tables = {byte: [] for byte in self.kinds}
        for name in ("Monitor records", "Payment records", "Snapshots", "Cards", "Events"):
            byte = None
            for kind, tlv_type, value in rows(sections[name]):
                byte = int(kind.split()[0].strip("`"), 16) if kind else byte
                is_optional = value.startswith("*optional* ")
                what = value.removeprefix("*optional* ").partition(":")[0]
                is_fields = " · " in what and not re.match(r"(list|set|map) of ", what)
                read = self.fields(what) if is_fields else self.field(what)[1]
                self.tables[byte].append((int(tlv_type), is_optional, value, read))


def rows(section):
    """The cells of a section's first table."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# A record, whole.


def read_record(page, data):
    """Returns what a record says, or refuses it."""
    require(len(data) <= MAX_RECORD_BYTES, "a record has at most 2^30 bytes")
    record = Bytes(data)
    require(record.take(2) == b"LW", "0: no magic")
    kind, version = record.take(2)
    require(kind in page.kinds, f"2: there is no kind {kind:02x}")
    require(version == 1, f"3: version {version} is unknown")
    values, last = {}, -1
    known = {tlv_type: read for tlv_type, _, _, read in page.tables[kind]}
    while not record.is_empty():
        at = record.at
        tlv_type = record.compact("big")
        length = record.compact("big")
        require(tlv_type > last, f"{at}: type {tlv_type} does not rise")
        last = tlv_type
        value = Bytes(record.take(length), record.at - length)
        if tlv_type in known:
            values[tlv_type] = known[tlv_type](value)
            require(value.is_empty(), f"{value.start + value.at}: bytes behind the last field")
        else:
            require(tlv_type % 2 == 1, f"{at}: type {tlv_type} is even and unknown")
    for tlv_type, is_optional, words, _ in page.tables[kind]:
        if tlv_type not in values:
            require(is_optional, f"type {tlv_type} is missing")
        elif is_optional:
            # What says nothing is said by its absence.
            require(values[tlv_type] not in ([], b"", False), f"type {tlv_type} says nothing")
            require("above 0" not in words or values[tlv_type] != 0, f"type {tlv_type} says nothing")
            if other := re.search(r"each in type (\d+)", words):
                names = named(values.get(int(other[1]), []))
                require(all(name in names for name in named(values[tlv_type])), f"type {tlv_type} names nothing")
    check_terms(values)
    if page.kinds[kind] == "MonitorState":
        values.update({at: undo_differences(values[at]) for at in (30, 32) if at in values})
    return {"kind": page.kinds[kind], "values": values}


RECEIVED = 1


def named(entries):
    """Returns the keys of a map or set of payments or HTLCs; an htlc_id alone is that of a received one."""
    keys = [comparable(entry[0] if isinstance(entry, tuple) else entry) for entry in entries]
    return [[[RECEIVED], key] if isinstance(key, int) else key for key in keys]


USUAL = {"attempts_max": 1, "deadline": None, "purpose": {"is": "payment", "index": 0}, "attempts before": []}


def check_terms(value):
    """The terms of a payment that is tried once are said by their absence."""
    require(value != USUAL, "terms that say nothing")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for element in value:
            check_terms(element)


def undo_differences(past):
    """Returns forgotten HTLCs as they were: each is written as the difference to the one before it."""
    whole, next_id, expiry, start = [], 0, 0, 0
    for step in past:
        htlc_id = next_id + step["id"]
        expiry += step["expiry"]
        start += step["from"]
        until = start + 1 + step["commitments"]
        in_range = htlc_id < 1 << 64 and 0 <= expiry < 1 << 32 and 0 <= start and until < 1 << 48
        require(in_range, "a forgotten HTLC is out of range")
        whole.append({**step, "id": htlc_id, "expiry": expiry, "from": start, "until": until})
        del whole[-1]["commitments"]
        next_id = htlc_id + 1
    return whole


def plain(value):
    """Returns a value as JSON has it: bytes as hex, maps as pairs."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): plain(field) for name, field in value.items() if name != "index"}
    if isinstance(value, (list, tuple)):
        return [plain(element) for element in value]
    return value


def answer(page, digits):
    try:
        return plain({"value": read_record(page, bytes.fromhex("".join(digits.split())))})
    except Refused as refusal:
        return {"refused": str(refusal)}


def main(arguments):
    page = Page(PAGE.read_text(encoding="utf-8"))
    if arguments == ["--lines"]:
        for line in sys.stdin:
            print(json.dumps(answer(page, line)))
        return 0
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    answers = [(name, answer(page, pathlib.Path(name).read_text(encoding="ascii"))) for name in arguments]
    for name, said in answers:
        print(json.dumps({"file": name, **said}, ensure_ascii=False, indent=2))
    return int(any("refused" in said for _, said in answers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One table of files for both readers: what an export and a device must make of the same bytes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "REFUSED", "Case"]

AB = [("a", "1"), ("b", "2")]
GZIPPED = gzip.compress(b"user,item\na,1\n", mtime=0) + gzip.compress(b"b,2\n", mtime=0)


@dataclass(frozen=True)
class Case:
    """A file and what is in it.

    Attributes:
        name: of the file.
        data: its bytes.
        pairs: (user, item) as texts, in the order of the file.
        bad: lines of rows that are left out when bad rows are skipped, and that are named otherwise.
        options: of both readers.
    """

    name: str
    data: bytes
    pairs: list[tuple[str, str]]
    bad: tuple[int, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


def case(name: str, text: str | bytes, pairs: list[tuple[str, str]] = AB, *bad: int, **options: Any) -> Case:
    data = text if isinstance(text, bytes) else text.encode()
    return Case(name, data, pairs, bad, tuple(options.items()))


CASES: dict[str, Case] = {
    # Tables.
    "csv": case("x.csv", "user,item\na,1\nb,2\n"),
    "no line feed at the end": case("x.csv", "user,item\na,1\nb,2"),
    "crlf": case("x.csv", "user,item\r\na,1\r\nb,2\r\n"),
    "byte-order mark": case("x.csv", "\ufeffuser,item\na,1\nb,2\n"),
    "utf-16": case("x.csv", "user,item\na,1\nb,2\n".encode("utf-16")),
    "utf-16, big end first": case(
        "x.csv", b"\xfe\xff" + "user,item\nä,1\n".encode("utf-16-be"), [("ä", "1")]
    ),
    "utf-32": case("x.csv", "user,item\na,1\nb,2\n".encode("utf-32")),
    "upper case": case("X.CSV", "USER,Item ID\na,1\nb,2\n"),
    "blanks about names": case("x.csv", " User Id , item_id \na,1\nb,2\n"),
    "quoted names": case("x.csv", '"user","item"\n"a","1"\nb,2\n'),
    "other columns": case("x.csv", "n,item,rating,user,time\n0,1,,a,\n0,2,x,b,\n", timestamp_column=""),
    "blank lines": case("x.csv", "\n \n\nuser,item\na,1\n\n , \n\t\nb,2\n\n"),
    "quoted line ends": case("x.csv", b'user,item\na,"x\r\ny"\nb,"z\nw"\n', [("a", "x\r\ny"), ("b", "z\nw")]),
    "quoted carriage return": case("x.csv", b'user,item\na,"x\ry"\n', [("a", "x\ry")]),
    "doubled quotes": case("x.csv", 'user,item\n"a ""b""",1\n', [('a "b"', "1")]),
    "quotes within": case("x.csv", 'user,item\na"b,"1"\n', [('a"b', "1")]),
    "commas within": case("x.csv", 'user,item\na,"Godfather, The"\n', [("a", "Godfather, The")]),
    "blanks are kept": case("x.csv", "user,item\n a , 1\n", [(" a ", " 1")]),
    "no-break space": case("x.csv", "user,item\na\u00a0b,\u00a01\n", [("a\u00a0b", "\u00a01")]),
    "semicolons": case("x.csv", "user;item\na;1\nb;2\n"),
    "semicolons and commas": case("x.csv", "user;item;rating\na;1;3,5\nb;2;4,5\n"),
    "bars": case("x.csv", "user|item\na|1\nb|2\n"),
    "tabs in csv": case("x.csv", "user\titem\na\t1\nb\t2\n"),
    "tsv": case("x.tsv", 'user\titem\na\t"1"\nb\t2\n'),
    "commas in tsv": case("x.tsv", "user,item\na,1\nb,2\n"),
    "table in txt": case("x.txt", "user,item\na,1\nb,2\n"),
    "table of no name": case("x", "user\titem\na\t1\nb\t2\n"),
    "recbole": case("x.inter", "user_id:token\titem_id:token\trating:float\na\t1\t3\nb\t2\t4\n"),
    "quotes in inter": case("x.inter", 'user_id:token\titem_id:token\n"a\t1\n', [('"a', "1")]),
    "named": case("x.csv", "kunde,ware\na,1\nb,2\n", user_column="kunde", item_column="ware"),
    "named twice": case("x.csv", "user,User,item\na,x,1\nb,y,2\n", user_column="user"),
    "kept apart": case(
        "x.csv", "user,item\n1,01\n1,1\n1,+1\n1,1.0\n", [("1", "01"), ("1", "1"), ("1", "+1"), ("1", "1.0")]
    ),
    "huge integers": case("x.csv", f"user,item\n1,{2**64}\n", [("1", str(2**64))]),
    "NUL": case("x.csv", "user,item\na,\0\n", [("a", "\0")]),
    "other unused text": case("x.csv", b"user,item,title\na,1,\xe9\nb,2,\xff\n"),
    # No header.
    "u.data": case("u.data", "a\t1\t3\t881250949\nb\t2\t4\t891717742\n"),
    "u1.base": case("u1.base", "a\t1\t3\t881250949\nb\t2\t4\t891717742\n"),
    "u.data, two columns": case("u.data", "a\t1\nb\t2\n"),
    "ratings.dat": case("ratings.dat", "a::1::5::978300760\nb::2::3::978302109\n"),
    "ratings.dat, CRLF": case("ratings.dat", "a::1\r\n\r\nb::2\r\n"),
    "header in dat": case("artists.dat", "userID\tartistID\tweight\na\t1\t9\nb\t2\t8\n"),
    # Lines.
    "lines": case("x.txt", "a 1\nb 2\n"),
    "lines of no name": case("x", "a 1\nb 2\n"),
    "lines with tabs": case("x.txt", "a\t1\nb\t \t2 \t\n"),
    "lines with many items": case("x.txt", "a 1 2 1\nb 3", [("a", "1"), ("a", "2"), ("a", "1"), ("b", "3")]),
    "lines with CRLF": case("x.txt", "a 1\r\n\r\nb 2 \r\n"),
    "users alone": case("x.txt", "c\na 1\nc\nb 2\n"),
    "commas in lines": case("x.txt", "a,b 1,2\n", [("a,b", "1,2")]),
    "Unicode blanks in lines": case(
        "x.txt", "a\u00a0b 1\u2003c\nd\u0085 \x0b1\n", [("a\u00a0b", "1\u2003c"), ("d\u0085", "\x0b1")]
    ),
    "quotes in lines": case("x.txt", '"a" "1\nb 2\n', [('"a"', '"1'), ("b", "2")]),
    "byte-order mark in lines": case("x.txt", "\ufeffa 1\nb 2\n"),
    "long line": case(
        "x.txt",
        "a " + " ".join(map(str, range(90_000))) + "\nb 2",
        [*(("a", str(n)) for n in range(90_000)), ("b", "2")],
    ),
    # Compressed.
    "gzip": case("x.csv.gz", gzip.compress(b"user,item\na,1\nb,2\n")),
    "gzip under another name": case("x.csv", gzip.compress(b"user,item\na,1\nb,2\n")),
    "plain under a name of gzip": case("x.csv.gz", b"user,item\na,1\nb,2\n"),
    "gzip in two parts": case("x.csv.gz", GZIPPED),
    "gzip of lines": case("x.txt.gz", gzip.compress(b"a\t1\nb 2\n")),
    "gzip of u.data": case("u.data.GZ", gzip.compress(b"a\t1\t3\t9\nb\t2\t4\t9\n")),
    "gzip of UTF-16": case("x.csv.gz", gzip.compress("user,item\na,1\nb,2\n".encode("utf-16"))),
    # Ratings.
    "ratings that nobody asks for": case("x.csv", "user,item,rating\na,1,\nb,2,five\n"),
    "ratings": case(
        "x.csv", 'user,item,rating\na,1,4\nc,1,3.9\nb,2," 4.0e0 "\nc,2,-5\nc,3,+.5\n', AB, rating_threshold=4
    ),
    "named ratings": case(
        "x.csv", "user,item,mark\na,1,4\nb,2,5\nc,1,1\n", AB, rating_threshold=4, rating_column="mark"
    ),
    # Bad rows.
    "ragged": case("x.csv", "user,item\na,1\nc\nc,1,\nb,2\n", AB, 3, 4),
    "blank ids": case("x.csv", "user,item\na,1\n,1\nc,\nc,  \nc,\u00a0\u2003\nb,2\n", AB, 3, 4, 5, 6),
    "latin-1": case("x.csv", b"user,item\na,1\nJos\xe9,1\nb,2\n", AB, 3),
    "latin-1 in lines": case("x.txt", b"a 1 \xe9\n\xe9 1 2\nb 2\n", AB, 1, 2),
    "malformed quotes": case("x.csv", 'user,item\na,1\n"c"x,1\nb,2\n', AB, 3),
    "lone carriage return": case("x.csv", b"user,item\na,1\nc\rd,1\nb,2\n", AB, 3),
    "lone carriage return in dat": case("x.dat", b"a::1\nc\rd::1\nb::2\n", AB, 2),
    "long ids": case("x.csv", f"user,item\na,1\n{'x' * 4097},1\nc,{'ä' * 2049}\nb,2\n", AB, 3, 4),
    "longest ids": case("x.csv", f"user,item\na,{'ä' * 2048}\n", [("a", "ä" * 2048)]),
    "long ids in lines": case("x.txt", f"a {'x' * 4097} 1\n{'x' * 99_999} 1\nb 2\n", AB, 1, 2),
    "long fields": case("x.csv", f"user,item,text\na,1,\nc,1,{'x' * 140_000}\nb,2,{'x' * 130_000}\n", AB, 3),
    "bad ratings": case(
        "x.csv",
        'user,item,rating\na,1,4\nc,1,\nc,2,five\nc,3,nan\nc,4,inf\nc,5,1_0\nc,6,"1,234"\nc,7,1e999\nc,8,\u0663\nb,2,4\n',
        AB,
        *range(3, 11),
        rating_threshold=4,
    ),
    "a quote at the end": case("x.csv", 'user,item\na,1\nb,2\n"c,1', AB, 4),
}

REFUSED: dict[str, tuple[Case, str]] = {
    "empty": (case("x.csv", ""), "no interactions"),
    "empty gzip": (case("x.csv.gz", gzip.compress(b"")), "no interactions"),
    "blank": (case("x.csv", "\n \r\n"), "no interactions"),
    "empty lines": (case("x.txt", ""), "no interactions"),
    "header alone": (case("x.csv", "user,item\n"), "no interactions"),
    "users alone": (case("x.txt", "a\nb\n"), "no interactions"),
    "no header": (case("x.csv", "a,1\nb,2\n"), "no column"),
    "no item": (case("x.csv", "user,thing\na,1\n"), "no column"),
    "one column": (case("x.csv", "a\nb\n"), "no column"),
    "lines named csv": (case("x.csv", "a 1\nb 2\n"), "no column"),
    "two users": (case("x.csv", "user,User,item\na,b,1\n"), "could both be the user"),
    "the same name twice": (
        case("x.csv", "user,item,item\na,1,2\n", item_column="item"),
        "could both be the item",
    ),
    "user and item in one": (
        case("x.csv", "user,b\na,1\n", item_column="user"),
        "cannot be both user and item",
    ),
    "no such name": (case("x.csv", "user,item\na,1\n", user_column="who"), "'who'"),
    "names for lines": (case("x.txt", "a 1\n", user_column="who"), "neither columns nor ratings"),
    "threshold for lines": (case("x.txt", "a 1\n", rating_threshold=1), "neither columns nor ratings"),
    "threshold without ratings": (case("x.csv", "user,item\na,1\n", rating_threshold=1), "threshold"),
    "open quote": (case("x.csv", 'user,item\n"a,1\nb,2\n'), "line 2: a quote"),
    "open quote for long": (case("x.csv", 'user,item\n"a,1\n' + "b,2\n" * 99_999), "line 2: a quote"),
    "quotes without end": (case("x.csv", 'user,item\n"a' + '","\n' * 99_999), "line 2: a quote"),
    "long line of a table": (case("x.csv", "user,item\na,1\n" + "x" * 300_000), "line 3: it is longer than"),
    "header not UTF-8": (case("x.csv", b"user,\xe9\na,1\n"), "header is not UTF-8"),
    "UTF-16 without a mark": (
        case("x.csv", "user,item\na,1\n".encode("utf-16-le")),
        "UTF-16 without its mark",
    ),
    "UTF-16 cut off": (case("x.csv", "user,item\na,1\n".encode("utf-16")[:-1]), "not the UTF-16"),
    "truncated gzip": (
        case("x.csv.gz", gzip.compress(b"user,item\n" + b"a,1\n" * 99)[:-9]),
        "compressed data is damaged",
    ),
    "damaged gzip": (case("x.csv.gz", GZIPPED[:-5] + b"\0" + GZIPPED[-4:]), "compressed data is damaged"),
    "gzip and something else": (case("x.csv.gz", GZIPPED + b"more"), "compressed data is damaged"),
    "gzip in gzip": (case("x.csv.gz", gzip.compress(gzip.compress(b"user,item\na,1\n"))), "gzip in gzip"),
    "parquet by content": (case("x.csv", b"PAR1\x15\x04\x15\x00"), "Parquet"),
    "spreadsheet by content": (case("x.csv", b"PK\x03\x04\x14\x00"), "spreadsheet"),
    "spreadsheet by name": (case("x.xlsx", "user,item\na,1\n"), "x.xlsx"),
    "compressed parquet": (case("x.parquet.gz", "user,item\na,1\n"), "x.parquet.gz"),
    "JSON lines": (case("x.txt", '{"user": "a", "item": 1}\n'), "JSON"),
    "header of lines": (case("x.txt", "user_id item_id\na 1\n"), "looks like a header"),
    "lines of an old Mac": (case("x.txt", b"a 1\rb 2\r"), "carriage return stands alone"),
    "wide u.data": (case("u.data", "1\t2\t3\t4\t5\n"), "5 fields, where files of this kind have 2 to 4"),
    "ratings.dat with blanks": (case("ratings.dat", "a 1\nb 2\n"), "1 fields, where files of this kind"),
}

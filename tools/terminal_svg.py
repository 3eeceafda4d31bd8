#!/usr/bin/env python3
"""Draws a terminal's output, colours included, as an SVG.

    script -qec 'make demo' /dev/null | tools/terminal_svg.py '$ make demo' > docs/demo.svg

Of the control sequences only colours and bold (SGR) are drawn; the others are left out. Lines longer than COLUMNS are
broken between words and go on indented. Cut the input to what is to be seen.
"""

import html
import re
import sys

COLUMNS = 100
# Of what a broken line goes on with.
INDENT = 11
FONT_SIZE = 13
# Of a monospaced letter, by the height of its font; textLength holds every run to it, whatever font there is.
LETTER = 0.6 * FONT_SIZE
LINE = 19
MARGIN = 20
BAR = 34

BACKGROUND, FRAME, TEXT, FAINT = "#10151c", "#2a323d", "#d7dde5", "#7d8896"
COLOURS = {31: "#f0787c", 32: "#8fce7c", 33: "#e8bf6a", 34: "#7fb2f0", 35: "#c99bef", 36: "#6fd0d8"}

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def runs(line):
    """Splits a line into (text, colour, bold)."""
    found, colour, bold, start = [], TEXT, False, 0
    for match in SEQUENCE.finditer(line):
        if match.start() > start:
            found.append((line[start : match.start()], colour, bold))
        start = match.end()
        if match[2] != "m":
            continue
        for code in (int(code or 0) for code in match[1].split(";")):
            if code == 0:
                colour, bold = TEXT, False
            elif code == 1:
                bold = True
            elif code == 2:
                colour = FAINT
            elif code in COLOURS:
                colour = COLOURS[code]
    if start < len(line):
        found.append((line[start:], colour, bold))
    return found


def broken(line):
    """Splits the runs of a line into lines of at most COLUMNS, between words."""
    rows, column = [[]], 0
    for text, colour, bold in runs(line):
        for word in re.findall(r"\s*\S+|\s+$", text):
            if column + len(word) > COLUMNS and column > INDENT:
                rows.append([(" " * INDENT, TEXT, False)])
                word, column = word.lstrip(), INDENT
            rows[-1].append((word, colour, bold))
            column += len(word)
    return [joined(row) for row in rows]


def joined(row):
    """Puts neighbours of one look together again."""
    found = []
    for text, colour, bold in row:
        if found and found[-1][1:] == (colour, bold):
            found[-1] = (found[-1][0] + text, colour, bold)
        else:
            found.append((text, colour, bold))
    return found


def svg(lines, title):
    lines = [row for line in lines for row in broken(line)]
    columns = max(sum(len(text) for text, _, _ in row) for row in lines)
    width, height = round(columns * LETTER + 2 * MARGIN), BAR + len(lines) * LINE + MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        f'font-size="{FONT_SIZE}" xml:space="preserve">'
    )
    yield f"<title>{html.escape(title)}</title>"
    yield (
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{BACKGROUND}" stroke="{FRAME}"/>'
    )
    yield f'<text x="{MARGIN}" y="{BAR - 10}" fill="{FAINT}">{html.escape(title)}</text>'
    for row, line in enumerate(lines):
        y, column = BAR + row * LINE + FONT_SIZE, 0
        for text, colour, bold in line:
            # Indents and gaps are positions, not blanks: viewers disagree on blanks.
            for word in re.finditer(r"\S(?:.*?\S)?(?=\s{2,}|\s*$)", text):
                x = MARGIN + (column + word.start()) * LETTER
                length = len(word[0]) * LETTER
                weight = ' font-weight="600"' if bold else ""
                yield (
                    f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}" fill="{colour}"{weight}>'
                    f"{html.escape(word[0])}</text>"
                )
            column += len(text)
    yield "</svg>"


def main():
    title = sys.argv[1] if len(sys.argv) == 2 else sys.exit(f"usage: {sys.argv[0]} TITLE < output > picture.svg")
    lines = [line.rstrip() for line in sys.stdin.read().replace("\r", "").split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        sys.exit("nothing to draw: standard input is empty")
    for part in svg(lines, title):
        print(part)


main()

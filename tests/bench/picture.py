"""The picture of tests/bench/run's figures, by gnuplot."""
import statistics
import subprocess

# Okabe and Ito's colours: told apart by everybody.
BLUE, ORANGE, RED, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#7F7F7F"
WIDTH, HEIGHT = 2000, 1440
PANELS = {
    "float32": (0, 0, 1),
    "float64": (1, 0, 1),
    "gemm": (0, 1, 1),
    "comm": (1, 1, 1),
    "layer": (0.35, 2, 1.65)
}  # column, row, width
LEFT, COLUMN, GAP, TOP, ROW = 0.045, 0.28, 0.05, 0.9, 0.31  # of the screen
TARGETS_LEFT, TARGETS_RIGHT = 0.785, 0.985


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def block(name, rows):
    """Rows as a gnuplot datablock."""
    return f"${name} << EOD\n" + "".join(" ".join(f"{x:.6g}" if isinstance(x, float) else str(x) for x in row) + "\n"
                                         for row in rows) + "EOD\n"


def place(column, row, wide=1):
    left, top = LEFT + column * COLUMN, TOP - row * ROW
    return (f"set lmargin at screen {left:.4f}\nset rmargin at screen {left + wide * COLUMN - GAP:.4f}\n"
            f"set tmargin at screen {top:.4f}\nset bmargin at screen {top - ROW + 0.11:.4f}\n")


def empty(title, why="not measured"):
    return (
        f"set title {quoted(title)}\nset xrange [0:1]\nset yrange [0:1]\nunset xtics\nunset ytics\nunset xlabel\nunset ylabel\n"
        f"set label 1 {quoted(why)} at graph 0.5,0.5 center textcolor rgb '{GREY}'\nplot NaN notitle\nunset label 1\n")


def by_u(records, field, **wanted):
    """(u, mean of the field over rounds) of the records that have all that is wanted."""
    found = {}
    for record in records:
        if "u" in record and field in record and all(record.get(key) == value for key, value in wanted.items()):
            found.setdefault(record["u"], []).append(record[field])
    return sorted((u, statistics.fmean(values)) for u, values in found.items())


def curves(lines):
    """A plot command of (rows, title, colour, point type); the datablocks that go before it."""
    blocks = "".join(block(f"curve{i}", rows) for i, (rows, _, _, _) in enumerate(lines))
    return blocks, "plot " + ", ".join(
        f"$curve{i} using 1:2 with linespoints lw 2.5 pt {point} ps 1.6 lc rgb '{colour}' title {quoted(title)}"
        for i, (_, title, colour, point) in enumerate(lines)) + "\n"


def u_axis(records):
    ticks = sorted({record["u"] for record in records if record["bench"] in ("step", "torch-step")})
    return "set logscale x\nset xrange [%g:%g]\nset xtics (%s)\nset xlabel 'edits a step, u'\n" % (
        0.7 * ticks[0], 1.5 * ticks[-1], ", ".join(str(u) for u in ticks))


def seconds(records, dtype):
    """Seconds a step against u."""
    title = f"Seconds a step, {dtype}"
    lines = [(by_u(records, "seconds", bench="step", dtype=dtype), "rlsedit", BLUE, 7)]
    lines += [(by_u(records, "seconds", bench="torch-step", variant=variant, dtype=dtype), name, colour, point)
              for variant, name, colour, point in (("A", "PyTorch A: as written", ORANGE, 5),
                                                   ("B", "PyTorch B: in place", RED, 9), ("best", "PyTorch: its best",
                                                                                          GREEN, 13))]
    lines = [line for line in lines if line[0]]
    if not lines:
        return empty(title)
    blocks, plot = curves(lines)
    return (blocks + f"set title {quoted(title)}\n" + u_axis(records) + "set logscale y\nset ylabel 'seconds'\n" +
            f"set yrange [*:{20 * max(y for line in lines for _, y in line[0]):.6g}]\n" + plot)


def ratios(records):
    """How near a step comes to GEMM and to the read limit."""
    title = "A step against the machine"
    lines = []
    for field, what, dtype, colour, point in (("gemm_ratio", "of GEMM, %s", "float32", BLUE,
                                               7), ("gemm_ratio", "of GEMM, %s", "float64", ORANGE,
                                                    5), ("read_ratio", "of reading once, %s", "float32", GREEN, 9),
                                              ("read_ratio", "of reading once, %s", "float64", RED, 13)):
        rows = by_u(records, field, bench="step", dtype=dtype)
        lines.append(([row for row in rows if field == "gemm_ratio" or row[0] == 1], what % dtype, colour, point))
    lines = [line for line in lines if line[0]]
    if not lines:
        return empty(title)
    blocks, plot = curves(lines)
    return (blocks + f"set title {quoted(title)}\n" + u_axis(records) +
            "set yrange [0:1.6]\nset ytics 0.2\nset ylabel 'ratio'\n" +
            f"set arrow 1 from first 90,first 0.92 to graph 1,first 0.92 nohead dashtype 2 lw 2 lc rgb '{GREY}'\n" +
            f"set label 1 'target: 0.92' at first 85,first 0.92 right textcolor rgb '{GREY}'\n" + plot +
            "unset arrow 1\nunset label 1\n")


def comm(records):
    """Bytes a rank and step against ranks."""
    title = "A rank's bytes a step"
    rows = {r["ranks"]: r for r in records if r["bench"] == "comm" and r["ranks"] > 1}
    if not rows:
        return empty(title)
    first = 4 if 4 in rows else min(rows)
    lines = [([(p, rows[p][field] * 1e-6) for p in sorted(rows) if rows[p].get(field)], name, colour, point)
             for field, name, colour, point in (("bytes_measured", "payload of MPI calls", BLUE,
                                                 7), ("bytes_formula", "its formula", ORANGE,
                                                      4), ("sent_bytes_pml", "sent, as Open MPI counts", GREEN, 9),
                                                ("sent_bytes_formula", "its formula", RED, 8))]
    lines.append(([(p, rows[first]["bytes_measured"] * 1e-6 * (first / p)**0.5) for p in sorted(rows)
                   if p >= first], f"1/sqrt(P) from P = {first}", GREY, 0))
    lines = [line for line in lines if line[0]]
    blocks, plot = curves(lines)
    least, most = (f(y for line in lines for _, y in line[0]) for f in (min, max))
    ticks = [p for p in sorted(rows) if p & (p - 1) == 0 or len(rows) < 5]
    return (blocks + f"set title {quoted(title)}\nset logscale xy\nset xrange [{0.8 * min(rows)}:{1.25 * max(rows)}]\n"
            f"set xtics ({', '.join(map(str, ticks))})\nset xlabel 'ranks, P'\nset ylabel 'MB'\n"
            f"set yrange [{0.7 * least:.6g}:{12 * most:.6g}]\n" + plot)


def bars(rows, text_at):
    """Horizontal bars from BASE, from the top down: (name, length, text, colour); text_at(length): where the text begins."""
    labels = "".join(f"set label {i + 1} {quoted(text)} at first {text_at(value):.6g},{i} left offset 0.4,0\n"
                     for i, (_, value, text, _) in enumerate(rows))
    names = ", ".join(f'"{name}" {i}' for i, (name, _, _, _) in enumerate(rows))
    data, plots = "", []
    for k, colour in enumerate(sorted({row[3] for row in rows})):
        data += block(f"bars{k}", [(i, value) for i, (_, value, _, own) in enumerate(rows) if own == colour])
        plots.append(
            f"$bars{k} using 2:1:(BASE):2:($1-0.35):($1+0.35) with boxxyerror fill solid 1 noborder lc rgb '{colour}' notitle"
        )
    return (data + labels + f"set ytics ({names}) scale 0\nset yrange [{len(rows) - 0.4}:-0.6]\n",
            f"plot {', '.join(plots)}\n" + "".join(f"unset label {i + 1}\n" for i in range(len(rows))))


def layer(records):
    """Stages of the 70B layer: those that add up."""
    title = "A layer of a 70B model, float32: seconds a stage"
    stages = [
        r for r in records
        if r["bench"] == "layer-70b" and "seconds" in r and not r["stage"].startswith(" ") and r["stage"] not in (
            "step (median)", "total")
    ]
    if not stages:
        return empty(title, "not measured: --layer-70b")
    most = max(r["seconds"] for r in stages)
    rows = [(r["stage"], r["seconds"],
             f"{r['seconds']:.3g} s" + (f", {r['ratio']:.2f} of {r['ratio_to']}" if r.get("ratio_to") else ""), BLUE)
            for r in stages]
    data, plot = bars(rows, lambda value: value)
    return (f"BASE = 0\nset title {quoted(title)}\n" + data +
            f"set xrange [0:{1.35 * most}]\nset xlabel 'seconds'\nset grid noytics\n" + plot + "set grid ytics\n")


def targets(figures):
    """All figures that have a target: measured over target (under it for those that are not to exceed it)."""
    rows = []
    for f in figures:
        if f["target"] is None or not f["measured"]:
            continue
        ratio = f["measured"] / f["target"] if f["wanted"].startswith(">") else f["target"] / f["measured"]
        name = f["name"].replace(", 3 n^2 u + 4 n m u flops", "").replace(", n^2/2 + n m words",
                                                                          "").replace(", n^3 flops", "")
        rows.append((name, ratio, f"{f['measured']:.3g}{f['unit']} ({f['target']:g})", BLUE if ratio >= 1.0 else RED))
    title = "Measured (target)"
    where = (f"set tmargin at screen {TOP}\nset bmargin at screen 0.06\nset lmargin at screen {TARGETS_LEFT}\n"
             f"set rmargin at screen {TARGETS_RIGHT}\n")
    if not rows:
        return where + empty(title)
    data, plot = bars(rows, lambda value: max(value, 1.0) * 1.05)
    low, high = min(0.5, 0.8 * min(row[1] for row in rows)), max(2.0, max(row[1] for row in rows))
    return (where + f"BASE = 1\nset title {quoted(title)}\n" + data +
            f"set logscale x\nset xrange [{low}:{high * (high / low)**0.6}]\n"
            "set xtics (0.01, 0.1, 0.25, 0.5, 1, 2, 4, 8)\nset xlabel 'measured / target; blue: met, red: missed'\n"
            "set arrow 1 from first 1,graph 0 to first 1,graph 1 nohead lw 2 lc rgb 'black' front\nset grid noytics\n" +
            plot + "unset arrow 1\n")


def script(results, path):
    about = results["machine"]
    records = [record for record in results["records"] if record["bench"] != "step" or record["under"] == "step"]
    heading = (
        f"rlsedit {about['commit']}: {about['cpu']}, {about['ranks']} ranks of one thread, load average {about['load'][0]:.2f} at the start"
        + (" (--quick: sizes of a smoke test)" if results["options"]["quick"] else ""))
    text = (
        f"set terminal pngcairo size {WIDTH},{HEIGHT} font 'sans,12' background rgb 'white'\nset output {quoted(path)}\n"
        f"set multiplot title {quoted(heading)} font ',15'\nset termoption noenhanced\nset border 3\nset tics nomirror\n"
        "set grid ytics lc rgb '#DDDDDD'\nset key top left Left reverse samplen 2\n")
    draw = {
        "float32": lambda: seconds(records, "float32"),
        "float64": lambda: seconds(records, "float64"),
        "gemm": lambda: ratios(records),
        "comm": lambda: comm(records),
        "layer": lambda: layer(records)
    }
    reset = ("unset logscale\nset xrange [*:*]\nset yrange [*:*]\nset xtics autofreq scale 1\n"
             "set ytics autofreq scale 1\nset format '%g'\nset ylabel\nset xlabel\n")
    for name, where in PANELS.items():
        text += reset + place(*where) + draw[name]()
    return text + reset + targets(results["figures"]) + "unset multiplot\n"


def draw(results, path):
    """Draws it; returns what to tell of it."""
    try:
        done = subprocess.run(["gnuplot", "-d"],
                              input=script(results, path),
                              text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              check=False)
    except OSError:
        return "none: install gnuplot (Debian, Ubuntu: gnuplot-nox)"
    if done.returncode != 0 or not path.exists():
        return "none: gnuplot says: " + done.stderr.strip()[-400:]
    return str(path)

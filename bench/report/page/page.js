"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (typeof Chart === "undefined") return;

  const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3], [14, 4]];
  const shapes = ["circle", "rect", "triangle", "rectRot", "crossRot"];
  const endings = ["reset", "eof", "answered", "failed", "untold"];
  const stateColours = {
    TIME_WAIT: "--eof", ESTABLISHED: "--p6", FIN_WAIT1: "--p2", FIN_WAIT2: "--p3", CLOSE_WAIT: "--p1", LISTEN: "--p4",
    LAST_ACK: "--p5", CLOSING: "--text", SYN_RECV: "--line", SYN_SENT: "--link", CLOSE: "--quiet",
  };

  const variable = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const grouped = n => n.toLocaleString("en-US", { maximumFractionDigits: 0 });
  // significant writes a number as the tables do.
  const significant = v => v >= 99.95 ? grouped(v) : v >= 9.995 ? v.toFixed(1) : v >= 0.9995 ? v.toFixed(2) : v >= 0.0005 ? v.toFixed(3) : "<0.001";
  const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;

  // look is how a server is drawn in every chart. Seven colours, dashes and shapes in turn tell 35 peers apart.
  function look(server) {
    const s = data.servers[server], i = s.index;
    if (s.role === "ours") return { colour: "--ours", dash: dashes[i % 5], shape: shapes[i % 5], width: 3.5 };
    if (s.role === "floor") return { colour: "--floor", dash: dashes[(i + 1) % 5], shape: shapes[(i + 3) % 5], width: 2.5 };
    return { colour: "--p" + i % 7, dash: dashes[Math.floor(i / 7) % 5], shape: shapes[(i + Math.floor(i / 7)) % 5], width: 1.75 };
  }

  // whiskers draws the least and the greatest of each point.
  const whiskers = {
    id: "whiskers",
    afterDatasetsDraw(chart) {
      const ctx = chart.ctx, flat = chart.options.indexAxis === "y";
      chart.data.datasets.forEach((set, k) => {
        chart.getDatasetMeta(k).data.forEach((element, i) => {
          const raw = set.points && set.points[i];
          if (!raw || raw.min === raw.max) return;
          const scale = flat ? chart.scales.x : chart.scales.y;
          const a = scale.getPixelForValue(raw.min), b = scale.getPixelForValue(raw.max), at = flat ? element.y : element.x;
          const area = chart.chartArea;
          ctx.save();
          ctx.beginPath();
          ctx.rect(area.left - 8, area.top - 8, area.width + 16, area.height + 16);
          ctx.clip();
          ctx.beginPath();
          for (const [x, y] of flat ? [[a, at], [b, at]] : [[at, a], [at, b]]) {
            if (flat) { ctx.moveTo(x, y - 4); ctx.lineTo(x, y + 4); } else { ctx.moveTo(x - 3, y); ctx.lineTo(x + 3, y); }
          }
          if (flat) { ctx.moveTo(a, at); ctx.lineTo(b, at); } else { ctx.moveTo(at, a); ctx.lineTo(at, b); }
          // The whisker of a bar lies on the bar, so it needs an edge.
          const strokes = flat ? [["--page", 4], ["--text", 1.5]] : [["", 1.25]];
          for (const [colour, width] of strokes) {
            ctx.strokeStyle = colour ? variable(colour) : set.borderColor;
            ctx.lineWidth = width;
            ctx.stroke();
          }
          ctx.restore();
        });
      });
    },
  };

  // notes writes something where a bar has no length.
  const notes = {
    id: "notes",
    afterDatasetsDraw(chart) {
      const list = chart.options.plugins.notes.list;
      if (!list) return;
      const ctx = chart.ctx;
      ctx.save();
      ctx.fillStyle = variable("--quiet");
      ctx.font = "12px system-ui, sans-serif";
      ctx.textBaseline = "middle";
      list.forEach((text, i) => { if (text) ctx.fillText(text, chart.chartArea.left + 5, chart.scales.y.getPixelForValue(i)); });
      ctx.restore();
    },
  };

  const hidden = new Set(); // servers
  const charts = new Map(); // by canvas

  function draw(canvas, config) {
    if (charts.has(canvas)) charts.get(canvas).destroy();
    config.options = Object.assign({ responsive: true, maintainAspectRatio: false, animation: false }, config.options);
    charts.set(canvas, new Chart(canvas, config));
  }

  function axis(title, type, more) {
    return Object.assign({
      type, title: { display: true, text: title, color: variable("--quiet") },
      grid: { color: variable("--line") }, border: { color: variable("--line") }, ticks: { color: variable("--text"), maxRotation: 50 },
    }, more);
  }

  // logarithmic has labels at 1, 2 and 5 of each power of ten, or at 1 only where there would be many.
  function logarithmic(title, values) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const keep = most / least > 1000 ? [1] : [1, 2, 5];
    const a = axis(title, "logarithmic", { suggestedMin: least, suggestedMax: most });
    a.ticks.callback = v => significant(v).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    a.afterBuildTicks = scale => {
      const round = scale.ticks.filter(t => keep.includes(Number(t.value.toExponential(6).split("e")[0])));
      if (round.length > 1) scale.ticks = round;
    };
    return a;
  }

  // scaleFor is logarithmic where a linear one would make the small ones invisible.
  function scaleFor(title, values) {
    if (values.length > 0 && Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 30) {
      const a = logarithmic(title, values);
      a.min = 10 ** Math.floor(Math.log10(Math.min(...values) / 2));
      return a;
    }
    const a = axis(title, "linear", { beginAtZero: true, suggestedMax: Math.max(...values) });
    a.ticks.callback = v => v.toLocaleString("en-US");
    return a;
  }

  const tooltip = label => ({ usePointStyle: true, callbacks: { label } });
  const setHeight = (canvas, rows, extra) => { canvas.parentElement.style.height = rows * 24 + extra + "px"; };
  const nameRoom = canvas => canvas.parentElement.clientWidth < 500 ? 18 : 34;
  const nameOf = server => data.servers[server].name;

  function lineSet(server, points, more) {
    const l = look(server), colour = variable(l.colour);
    return Object.assign({
      label: nameOf(server), data: points, borderColor: colour, backgroundColor: colour, borderWidth: l.width, borderDash: l.dash,
      pointStyle: l.shape, pointRadius: 4, pointBorderWidth: 1.5, spanGaps: false, clip: 8, order: data.servers[server].role === "peer" ? 1 : 0,
    }, more);
  }

  // hatch fills a bar for what never came.
  function hatch() {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const ctx = tile.getContext("2d");
    ctx.strokeStyle = variable("--quiet");
    ctx.lineWidth = 1.25;
    for (const x of [-8, 0, 8]) { ctx.moveTo(x, 8); ctx.lineTo(x + 8, 0); }
    ctx.stroke();
    return ctx.createPattern(tile, "repeat");
  }

  // never draws a bar through the whole chart for what never came, and says so on it.
  const never = {
    id: "never",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea: area, scales } = chart;
      (chart.options.plugins.never.list || []).forEach((text, i) => {
        if (!text) return;
        const y = scales.y.getPixelForValue(i), height = 14;
        ctx.save();
        ctx.fillStyle = hatch();
        ctx.fillRect(area.left + 1, y - height / 2, area.width - 1, height);
        ctx.font = "bold 12px system-ui, sans-serif";
        ctx.textBaseline = "middle";
        ctx.fillStyle = variable("--page");
        ctx.fillRect(area.left + 6, y - height / 2 - 1, ctx.measureText(text).width + 8, height + 2);
        ctx.fillStyle = variable("--text");
        ctx.fillText(text, area.left + 10, y);
        ctx.restore();
      });
    },
  };

  // never above a line: a dashed one, and what the points on it stand for.
  const neverLine = {
    id: "neverLine",
    afterDatasetsDraw(chart) {
      const { at, text } = chart.options.plugins.neverLine;
      if (!at) return;
      const { ctx, chartArea: area, scales } = chart;
      const y = scales.y.getPixelForValue(at) + 12;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = variable("--quiet");
      ctx.setLineDash([4, 4]);
      ctx.beginPath();
      ctx.moveTo(area.left, y);
      ctx.lineTo(area.right, y);
      ctx.stroke();
      ctx.font = "12px system-ui, sans-serif";
      ctx.textBaseline = "top";
      ctx.fillText(text, area.left + 6, y + 4);
      ctx.restore();
    },
  };

  // byNumber draws a line for each server, or a bar where there is one number of connections only. What never came is drawn as that, with
  // the text of missing.
  function byNumber(canvas, note, mix, measure, unit, convert, missing, bound) {
    const shown = mix.series.filter(s => !hidden.has(s.server));
    const drawsNever = bound !== undefined;
    const all = shown.map(s => ({
      server: s.server, never: s.never,
      points: s[measure].map((p, i) => p && { median: convert(p.median, mix.ns[i]), min: convert(p.min, mix.ns[i]), max: convert(p.max, mix.ns[i]) }),
    })).filter(s => s.points.some(p => p) || note || s.never.some(n => n));
    const values = all.flatMap(s => s.points.filter(p => p).flatMap(p => [p.median, p.min, p.max])).filter(v => v > 0);
    if (note) {
      const lacking = all.filter(s => s.points.some(p => !p)).map(s => nameOf(s.server) +
        (s.points.some(p => p) ? " with " + mix.ns.filter((n, i) => !s.points[i]).map(grouped).join(", ") : ""));
      note.textContent = lacking.length > 0 ? missing + ": " + lacking.join("; ") + "." : "";
    }
    canvas.parentElement.hidden = all.length === 0 || values.length === 0 && !drawsNever;
    if (canvas.parentElement.hidden) return;
    const label = p => p ? significant(p.median) + " " + unit + (p.min === p.max ? "" : " (" + significant(p.min) + "–" + significant(p.max) + ")") : missing;

    if (mix.ns.length === 1) {
      const order = s => s.points[0] ? s.points[0].median : Infinity;
      all.sort((a, b) => order(a) - order(b) || 0);
      setHeight(canvas, all.length, 70);
      draw(canvas, {
        type: "bar", plugins: [whiskers, never],
        data: {
          labels: all.map(s => cut(nameOf(s.server), nameRoom(canvas))),
          datasets: [{ data: all.map(s => s.points[0] ? s.points[0].median : null), points: all.map(s => s.points[0]), backgroundColor: all.map(s => variable(look(s.server).colour)) }],
        },
        options: {
          indexAxis: "y", scales: { x: scaleFor(unit, values.length > 0 ? values : [bound || 1]), y: axis("", "category", { title: { display: false }, ticks: { color: variable("--text"), autoSkip: false } }) },
          plugins: {
            never: { list: all.map(s => s.points[0] ? "" : missing) },
            legend: { display: false }, tooltip: { callbacks: { title: items => nameOf(all[items[0].dataIndex].server), label: c => label(all[c.dataIndex].points[0]) } },
          },
        },
      });
      return;
    }
    canvas.parentElement.style.height = "";
    const x = axis("connections", "logarithmic", { min: mix.ns[0], max: mix.ns[mix.ns.length - 1] });
    // The numbers that were measured, the greatest first, as far as there is room beside each other.
    x.afterBuildTicks = scale => {
      const width = scale.chart.width - 80, span = Math.log(mix.ns[mix.ns.length - 1] / mix.ns[0]);
      const kept = [];
      for (const n of [...mix.ns].reverse()) {
        if (kept.length === 0 || Math.log(kept[0] / n) / span * width > 8 * grouped(n).length + 6) kept.unshift(n);
      }
      scale.ticks = kept.map(value => ({ value }));
    };
    x.ticks.callback = grouped;
    const sets = all.filter(s => s.points.some(p => p)).map(s => lineSet(s.server, s.points.map((p, i) => ({ x: mix.ns[i], y: p ? p.median : null })), { points: s.points }));
    // Above all that came stand those that did not, beside each other so that none hides another.
    const top = Math.max(bound || 0, 2 * Math.max(0, ...values)) || 1;
    const placed = mix.ns.map(() => 0);
    if (drawsNever) {
      for (const s of all.filter(s => s.never.some(n => n))) {
        const points = s.points.map((p, i) => !s.never[i] ? null : { x: mix.ns[i], y: top * 1.25 ** placed[i]++ }).filter(p => p);
        sets.push(lineSet(s.server, points, { showLine: false, never: true }));
      }
    }
    const missed = placed.some(n => n > 0);
    const y = logarithmic(unit, values.length > 0 ? values : [top / 10, top]);
    if (missed) y.suggestedMax = top * 1.25 ** Math.max(...placed);
    draw(canvas, {
      type: "line", plugins: [whiskers, neverLine],
      data: { datasets: sets },
      options: {
        scales: { x, y }, layout: { padding: { right: 12 } },
        plugins: {
          neverLine: { at: missed ? top : 0, text: missing },
          legend: { display: false }, tooltip: tooltip(c => c.dataset.label + ": " + (c.dataset.never ? missing : label(c.dataset.points[c.dataIndex]))),
        },
      },
    });
  }

  // drawCurve has what was on the wire, where that was seen of one of the servers, and otherwise what clients have read, which depends on
  // when they got a processor too. The two are never in one picture.
  function drawCurve(canvas, note, cell) {
    const wired = cell.some(r => r.wire);
    for (const words of canvas.closest("figure").querySelectorAll("[data-curve]")) words.hidden = (words.dataset.curve === "wire") !== wired;
    const rows = cell.filter(r => !hidden.has(r.server)).map(r => ({ server: r.server, ...(wired ? r.wire : { round: r.round, curve: r.curve }) }));
    const untold = rows.filter(r => !r.curve || r.curve.length === 0).map(r => nameOf(r.server));
    const none = wired ? "No connection was ended, or it was not seen" : "No client was told, or it is not known when";
    note.textContent = untold.length > 0 ? none + ": " + untold.join("; ") + "." : "";
    const told = rows.filter(r => r.curve && r.curve.length > 0);
    const times = told.flatMap(r => [r.curve[0][0], r.curve[r.curve.length - 1][0]]).filter(t => t > 0);
    canvas.parentElement.hidden = told.length === 0;
    if (told.length === 0) return;
    const ends = told.map(r => r.curve[r.curve.length - 1][0]);
    const log = Math.max(...ends) / Math.max(Math.min(...ends), 1e-6) > 15;
    const y = axis(wired ? "connections ended" : "clients told", "linear", { beginAtZero: true });
    y.ticks.callback = grouped;
    const x = log ? logarithmic("ms", times) : axis("ms", "linear", { beginAtZero: true });
    draw(canvas, {
      type: "line",
      data: {
        datasets: told.map(r => lineSet(r.server,
          [[log ? r.curve[0][0] : 0, 0], ...r.curve].map(([x, y]) => ({ x, y })), { stepped: true, pointRadius: 0, pointHitRadius: 8, round: r.round })),
      },
      options: {
        scales: { x, y },
        plugins: { legend: { display: false }, tooltip: tooltip(c => c.dataset.label + ", round " + c.dataset.round + ": " + grouped(c.parsed.y) + " after " + significant(c.parsed.x) + " ms") },
      },
    });
  }

  // drawStacked has a bar for each server, of parts that are counted by name.
  function drawStacked(canvas, rows, of, names, colour, title, nothing) {
    const counts = rows.map(of);
    setHeight(canvas, rows.length, 110);
    const x = axis(title, "linear", { stacked: true, beginAtZero: true });
    x.ticks.callback = grouped;
    if (!counts.some(c => c && Object.values(c).some(n => n > 0))) x.suggestedMax = 1, x.ticks.stepSize = 1;
    draw(canvas, {
      type: "bar", plugins: [notes],
      data: {
        labels: rows.map(r => cut(nameOf(r.server), nameRoom(canvas))),
        datasets: names.map((name, i) => ({
          label: name === "eof" ? "EOF" : name, backgroundColor: variable(colour(name, i)), data: counts.map(c => c && c[name] || 0),
        })),
      },
      options: {
        indexAxis: "y", scales: { x, y: axis("", "category", { stacked: true, title: { display: false }, ticks: { color: variable("--text"), autoSkip: false } }) },
        plugins: {
          notes: { list: counts.map(c => !c ? "not known" : Object.values(c).some(n => n > 0) ? "" : nothing) },
          legend: { position: "bottom", labels: { color: variable("--text"), boxWidth: 14 } },
          tooltip: { filter: c => c.raw > 0, callbacks: { title: items => items.length > 0 ? nameOf(rows[items[0].dataIndex].server) : "", label: c => grouped(c.raw) + " " + c.dataset.label } },
        },
      },
    });
  }

  function drawAfter(canvas, rows) {
    const watched = rows.filter(r => r.after && r.after.length > 1);
    canvas.closest("figure").hidden = watched.length === 0;
    if (watched.length === 0) return;
    const y = axis("sockets", "linear", { beginAtZero: true, grace: "5%" });
    y.ticks.callback = grouped;
    draw(canvas, {
      type: "line",
      data: { datasets: watched.map(r => lineSet(r.server, r.after.map(([x, y]) => ({ x: x / 1000, y })), { pointRadius: 3 })) },
      options: {
        scales: { x: axis("s", "linear", { beginAtZero: true }), y },
        plugins: { legend: { display: false }, tooltip: tooltip(c => c.dataset.label + ": " + grouped(c.parsed.y) + " after " + significant(c.parsed.x) + " s") },
      },
    });
  }

  // marks draws a line at a time, and what happened then.
  const marks = {
    id: "marks",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea: area, scales } = chart;
      chart.options.plugins.marks.list.forEach(({ at, text }, i) => {
        const x = scales.x.getPixelForValue(at);
        if (x < area.left || x > area.right) return;
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = variable("--text");
        ctx.setLineDash([4, 3]);
        ctx.beginPath();
        ctx.moveTo(x, area.top);
        ctx.lineTo(x, area.bottom);
        ctx.stroke();
        ctx.font = "12px system-ui, sans-serif";
        ctx.textBaseline = "top";
        const right = x + ctx.measureText(text).width + 8 < area.right;
        ctx.textAlign = right ? "left" : "right";
        ctx.fillText(text, right ? x + 4 : x - 4, area.top + 2 + 14 * i);
        ctx.restore();
      });
    },
  };

  function drawTimeline(canvas, note, restarted, restart) {
    const part = (label, i, colour) => ({
      label, data: restart.ticks.map(t => ({ x: t[0] + 5, y: t[i] })), backgroundColor: variable(colour), barPercentage: 1, categoryPercentage: 1, barThickness: "flex",
    });
    note.textContent = restart.note;
    const sets = [part(restarted.known ? "answers of the old process" : "answers", 1, "--ours"), part("lost", 3, "--p6")];
    if (restarted.known) sets.splice(1, 0, part("answers of the new process", 2, "--answered"));
    const ends = restart.ticks.map(t => t[0]);
    const list = [{ at: 0, text: "restart begins" }];
    if (restart.ready !== null) list.push({ at: restart.ready, text: "new one answers" });
    if (restart.gone !== null) list.push({ at: restart.gone, text: "old process gone" });
    const y = axis("in 10 ms", "linear", { stacked: true, beginAtZero: true });
    y.ticks.callback = grouped;
    draw(canvas, {
      type: "bar", plugins: [marks], data: { datasets: sets },
      options: {
        scales: { x: axis("ms", "linear", { stacked: true, offset: false, min: Math.min(...ends), max: Math.max(...ends) + 10 }), y },
        plugins: {
          marks: { list },
          legend: { position: "bottom", labels: { color: variable("--text"), boxWidth: 14 } },
          tooltip: { mode: "index", filter: c => c.raw.y > 0, callbacks: { title: items => items.length > 0 ? items[0].raw.x - 5 + " ms" : "", label: c => c.raw.y + " " + c.dataset.label } },
        },
      },
    });
  }

  function renderTimeline(article) {
    const restarted = data.documents[article.dataset.document].restarted;
    const chosen = name => Number(article.querySelector(`[data-choice=${name}]`).value);
    const of = restarted[chosen("restarted")];
    drawTimeline(article.querySelector("[data-chart=timeline]"), article.querySelector("[data-note=timeline]"), of, of.restarts[Math.min(chosen("restart"), of.restarts.length - 1)]);
  }

  const occurring = (rows, of) => [...new Set(rows.flatMap(r => Object.entries(of(r) || {}).filter(([, n]) => n > 0).map(([name]) => name)))];

  function render(article) {
    const doc = data.documents[article.dataset.document];
    const chosen = name => article.querySelector(`[data-choice=${name}]`);
    const canvas = name => article.querySelector(`[data-chart=${name}]`);
    const note = name => article.querySelector(`[data-note=${name}]`);

    const mix = doc.mixes[chosen("mix").value], measure = chosen("measure");
    byNumber(canvas("free"), null, mix, "free", "ms", v => v, doc.notFree, doc.settle);
    const most = (doc.cells[mix.cell].rows || []).filter(r => !hidden.has(r.server));
    const left = r => r.left;
    drawStacked(canvas("left"), most, left, occurring(most, left), name => stateColours[name] || "--untold", "sockets", "nothing");
    if (measure) {
      measure.closest(".charts").hidden = mix.ns.length < 2; // there is nothing to draw over
      article.querySelector("[data-name=measure]").textContent = measure.selectedOptions[0].textContent;
      if (mix.ns.length > 1) byNumber(canvas("cost"), note("cost"), mix, measure.value, "µs", (v, n) => v * 1000 / n, "No figure, so not drawn");
    }

    const cell = doc.cells[chosen("cell").value].rows || [], rows = cell.filter(r => !hidden.has(r.server));
    drawCurve(canvas("curve"), note("curve"), cell);
    const told = r => r.endings;
    const order = name => (endings.indexOf(name) + endings.length + 1) % (endings.length + 1);
    drawStacked(canvas("endings"), rows, told, occurring(rows, told).sort((a, b) => order(a) - order(b)),
      name => endings.includes(name) ? "--" + name : "--quiet", "clients", "none");
    drawAfter(canvas("after"), rows);
  }

  const svg = (name, attributes) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return e;
  };

  // swatch is a piece of the line of a server, with its point.
  function swatch(server) {
    const l = look(server), paint = `var(${l.colour})`;
    const picture = svg("svg", { width: 34, height: 14, "aria-hidden": "true" });
    picture.append(svg("line", { x1: 1, y1: 7, x2: 33, y2: 7, "stroke-width": l.width, "stroke-dasharray": l.dash.join(" ") }));
    const d = {
      circle: "M13 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", rect: "M13.5 3.5h7v7h-7z", triangle: "M17 2.5l4.5 8h-9z", rectRot: "M17 2l5 5l-5 5l-5 -5z",
      crossRot: "M13.5 3.5l7 7M20.5 3.5l-7 7",
    }[l.shape];
    picture.append(svg("path", { d, "stroke-width": l.shape === "crossRot" ? 2 : 0 }));
    picture.firstChild.style.stroke = picture.lastChild.style.stroke = picture.lastChild.style.fill = paint;
    return picture;
  }

  function option(text, value) {
    const o = document.createElement("option");
    o.textContent = text;
    o.value = value;
    return o;
  }

  const articles = [...document.querySelectorAll("article")].filter(a => data.documents[a.dataset.document].cells);
  const timelines = [...document.querySelectorAll("article")].filter(a => data.documents[a.dataset.document].restarted);
  const renderAll = () => {
    articles.forEach(render);
    timelines.forEach(renderTimeline);
  };

  for (const article of timelines) {
    const restarted = data.documents[article.dataset.document].restarted;
    article.querySelector(".timeline").hidden = false;
    const server = article.querySelector("[data-choice=restarted]"), restart = article.querySelector("[data-choice=restart]");
    restarted.forEach((of, i) => server.append(option(of.server, i)));
    const most = restarted.reduce((a, b) => b.restarts.length > a.restarts.length ? b : a);
    most.restarts.forEach((one, i) => restart.append(option(one.title, i)));
    restart.closest("label").hidden = most.restarts.length < 2;
    for (const select of [server, restart]) select.addEventListener("change", () => renderTimeline(article));
  }

  for (const article of articles) {
    const doc = data.documents[article.dataset.document];
    for (const section of article.querySelectorAll(".charts")) section.hidden = false;
    const fill = (name, texts) => {
      const select = article.querySelector(`[data-choice=${name}]`);
      texts.forEach((text, i) => select.append(option(text, i)));
      select.closest("label").hidden = texts.length < 2;
      select.addEventListener("change", () => render(article));
    };
    fill("mix", doc.mixes.map(m => m.name));
    fill("cell", doc.cells.map(c => c.title));
    // The most connections of the first mix show the most.
    article.querySelector("[data-choice=cell]").value = Math.max(0, doc.mixes[0].ns ? doc.mixes[0].ns.length - 1 : 0);
    const measure = article.querySelector("[data-choice=measure]");
    if (measure) measure.addEventListener("change", () => render(article));

    const servers = [...new Set(doc.mixes.flatMap(m => (m.series || []).map(s => s.server)))].sort((a, b) => a - b);
    for (const legend of article.querySelectorAll(".legend")) {
      for (const server of servers) {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.server = server;
        button.setAttribute("aria-pressed", "true");
        button.append(swatch(server), document.createTextNode(nameOf(server)));
        button.addEventListener("click", () => {
          if (!hidden.delete(server)) hidden.add(server);
          for (const b of document.querySelectorAll(`[data-server="${server}"]`)) b.setAttribute("aria-pressed", String(!hidden.has(server)));
          renderAll();
        });
        const item = document.createElement("li");
        item.append(button);
        legend.append(item);
      }
    }
  }
  renderAll();

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", renderAll);
  // On paper it is light.
  const paper = printing => () => {
    document.documentElement.toggleAttribute("data-print", printing);
    renderAll();
  };
  addEventListener("beforeprint", paper(true));
  addEventListener("afterprint", paper(false));
})();

"use strict";
// Draws the report in #data. Names from traced programs are only ever set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const PAGE = 50, EVENT = 5, HEAD = 5;
  const OWN = 1, INLINED = 2, MARKED = 4;

  function el(name, options, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(options || {})) {
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }
  function svg(name, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function duration(ms) {
    if (ms < 10) return `${ms < 1 ? ms.toFixed(2) : Math.floor(ms)} ms`;
    if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
    const s = Math.round(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
    const two = (n) => String(n).padStart(2, "0");
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m}m ${two(s % 60)}s`;
    return h < 24 ? `${h}h ${two(m % 60)}m` : `${Math.floor(h / 24)}d ${two(h % 24)}h`;
  }
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  // A socket: [local, remote, fd, lingers for ms, state, then five numbers for each event, the first in microseconds].
  function events(socket) {
    const found = [];
    for (let i = HEAD; i < socket.length; i += EVENT) {
      found.push({ ago: socket[i] / 1000, name: data.texts[socket[i + 1]], peer: socket[i + 2] === 1,
        text: data.texts[socket[i + 3]], by: data.texts[socket[i + 4]] });
    }
    return found;
  }

  // Phases, each as wide as the logarithm of its length: data until the last call, silence until FIN, calls after FIN, then
  // nothing. Only the last receive and the last send are known: if one of them came after FIN, no silence is claimed.
  function phases(socket) {
    const all = events(socket), fin = all.findIndex((e) => e.name === "CLOSE_WAIT" || e.name === "reset");
    const start = all[0].ago, end = all[all.length - 1].ago;
    const finAgo = fin >= 0 ? all[fin].ago : socket[3];
    const before = all.filter((e) => e.ago >= finAgo && ["send", "recv", "connect", "accept", "ESTABLISHED"].includes(e.name));
    const after = all.filter((e) => e.ago < finAgo && ["send", "recv", "eof"].includes(e.name));
    const known = !after.some((e) => e.name !== "eof");
    const lastAgo = before.length ? before[before.length - 1].ago : Math.max(start, finAgo);
    const dataAgo = known ? lastAgo : finAgo;
    const calledAgo = after.length ? after[after.length - 1].ago : finAgo;
    const lengths = [["data", Math.max(start, dataAgo), dataAgo], ["silence", dataAgo, finAgo], ["after", finAgo, calledAgo], ["nothing", calledAgo, end]];
    const came = fin < 0 ? "" : all[fin].name === "reset" ? "RST, then " : "FIN, then ";
    return { all, finAgo, came, lengths: lengths.filter(([, from, to]) => from > to || from === to && from === start) };
  }
  function picture(socket, large) {
    const width = large ? 800 : 240, height = large ? 64 : 16, top = large ? 22 : 3, thick = large ? 22 : 10;
    const { all, finAgo, came, lengths } = phases(socket);
    const weight = ([name, from, to]) => (name === "data" ? 2.2 : 0.8) + Math.log10(1 + Math.max(from - to, 0));
    const total = lengths.reduce((sum, one) => sum + weight(one), 0) || 1;
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img" });
    const words = { data: "request, data", silence: "silence", after: "calls", nothing: "nothing" };
    const told = lengths.map(([name, from, to]) => `${from === finAgo && ["after", "nothing"].includes(name) ? came : ""}${words[name]} ${duration(from - to)}`).join(", ");
    root.append(svg("title", {}, told));
    let x = 0;
    const parts = lengths.map((one) => {
      const part = { name: one[0], from: one[1], to: one[2], x, w: (width - 4) * weight(one) / total };
      x += part.w;
      return part;
    });
    const at = (ago) => {
      const part = parts.find((p) => ago <= p.from && ago >= p.to) || parts[ago > parts[0].from ? 0 : parts.length - 1];
      const share = part.from > part.to ? (part.from - ago) / (part.from - part.to) : 0;
      return part.x + part.w * Math.min(Math.max(share, 0), 1);
    };
    for (const part of parts) {
      root.append(svg("rect", { x: part.x, y: top, width: Math.max(part.w, 1), height: thick, class: part.name === "after" ? "data" : part.name }));
      if (large) {
        const label = `${words[part.name]} ${duration(part.from - part.to)}`;
        if (part.w > label.length * 7) root.append(svg("text", { x: part.x + 4, y: top + thick - 8, class: `on-${part.name === "after" ? "data" : part.name}` }, label));
      }
    }
    let free = -1e9;
    for (const event of all) {
      if (["SYN_SENT", "now", "gone"].includes(event.name)) continue;
      const fin = event.name === "CLOSE_WAIT" || event.name === "reset", mark = at(event.ago);
      const from = fin ? top - 3 : top + thick - 4;
      root.append(svg("rect", { x: mark - (fin ? 1.5 : 0.5), y: from, width: fin ? 3 : 1, height: fin ? thick + 6 : 7, class: fin ? "fin" : "mark" }));
      if (!large || event.name === "ESTABLISHED") continue;
      const label = fin ? (event.name === "reset" ? "RST" : "FIN") : event.name;
      if (fin) root.append(svg("text", { x: Math.min(mark + 4, width - 30), y: 14, class: "fin" }, label));
      else if (mark > free) {
        root.append(svg("text", { x: Math.min(mark, width - 60), y: top + thick + 17, class: "dimmed" }, label));
        free = mark + label.length * 7 + 6;
      }
    }
    return root;
  }
  function eventTable(socket) {
    const all = events(socket), start = all[0].ago;
    const rows = all.map((e) => el("tr", {},
      el("td", { class: "number", text: ((start - e.ago) / 1000).toFixed(3) + " s" }),
      el("td", { text: e.text, class: e.peer && (e.name === "CLOSE_WAIT" || e.name === "reset") ? "peer" : "" }), el("td", { text: e.by, class: "dim" })));
    return el("table", { class: "events" }, el("tbody", {}, ...rows));
  }
  function way(site, socket) {
    const arrow = { from: "<-", to: "->", with: "<->" }[site.direction];
    return `${socket[0]} ${arrow} ${socket[1]}${socket[2] === null ? "" : `, fd ${socket[2]}`}`;
  }

  function stackList(number, folded) {
    const stack = data.stacks[number], list = el("ol", { class: "stack mono" });
    let above = false, run = null, hidden = 0;
    const flush = () => {
      if (hidden) list.append(el("li", { class: "library" }, el("span", { text: `... ${plural(hidden, "frame")} of libraries and runtimes` })));
      hidden = 0;
    };
    stack.frames.forEach(([name, place, group, flags, note]) => {
      const own = flags & OWN, show = !folded || own || (!above && data.texts[group] !== run);
      run = data.texts[group];
      above = above || Boolean(flags & MARKED);
      if (!show) { hidden += 1; return; }
      flush();
      const told = data.texts[place] + (flags & INLINED ? " (inlined)" : "") + (data.texts[note] ? ` (${data.texts[note]})` : "");
      list.append(el("li", { class: flags & MARKED ? "mark" : own ? "" : "library", title: data.texts[group] || null },
        el("span", { text: data.texts[name] }), el("span", { text: told, class: "dim" })));
    });
    flush();
    if (stack.ends) list.append(el("li", { class: "library" }, el("span", { text: `the stack ends here: ${stack.ends}` })));
    return list;
  }
  function stackPart(title, told) {
    const part = el("section", {}, el("h3", { text: title }));
    if (told.none !== undefined) { part.append(el("p", { class: "dim", text: `no stack: ${told.none}` })); return part; }
    let folded = true, list = stackList(told.is, true);
    const button = el("button", { type: "button", class: "screen", text: "all frames", "aria-pressed": "false", onclick: () => {
      folded = !folded;
      const other = stackList(told.is, folded);
      list.replaceWith(other);
      list = other;
      button.setAttribute("aria-pressed", String(!folded));
    } });
    part.append(list, button);
    return part;
  }

  function lifePart(site) {
    const large = el("section", {});
    const one = site.sockets.length > 1 ? "one of its sockets" : "its socket";
    large.show = (socket) => large.replaceChildren(el("h3", { text: `${one}: ${way(site, socket)}` }), picture(socket, true), legend(), eventTable(socket));
    large.show(site.sockets[0]);
    return large;
  }
  function socketsPart(site, large) {
    const part = el("section", {}, el("h3", { text: site.hosts ? `sockets in the newest report, of ${site.newest}` : "sockets" }));
    const show = large.show;
    const body = el("tbody", {});
    const more = el("button", { type: "button", class: "screen more", text: "more" });
    let shown = 0;
    const grow = () => {
      for (const socket of site.sockets.slice(shown, shown + PAGE)) {
        body.append(el("tr", {},
          el("td", {}, el("button", { type: "button", text: way(site, socket), onclick: () => { show(socket); large.scrollIntoView({ block: "nearest" }); } })),
          el("td", { class: "number", text: duration(socket[3]) }), el("td", { class: "wide" }, picture(socket, false))));
      }
      shown = Math.min(shown + PAGE, site.sockets.length);
      more.textContent = `${site.sockets.length - shown} more`;
      more.hidden = shown >= site.sockets.length;
    };
    more.addEventListener("click", grow);
    grow();
    const head = el("thead", {}, el("tr", {}, el("th", { text: "socket" }), el("th", { class: "number", text: "lingers" }), el("th", { class: "wide", text: "its life" })));
    part.append(el("div", { class: "scroll" }, el("table", {}, head, body)), more);
    return part;
  }
  function legend() {
    const line = el("p", { class: "dim" }, "wide as the logarithm of time:");
    for (const [name, text] of [["data", "request and data"], ["silence", "silence"], ["fin", "FIN from the peer"], ["nothing", "nothing: it stays open"]]) {
      line.append(el("span", { class: `key ${name}` }), text);
    }
    return line;
  }
  function detail(site) {
    const part = el("div", {});
    if (site.hosts) {
      const hosts = site.hosts.slice(0, 12).map(([name, count]) => `${name} (${count})`).join(", ");
      part.append(el("p", { text: `On ${plural(site.hosts.length, "host")}: ${hosts}${site.hosts.length > 12 ? " ..." : ""}. First seen ${site.first_seen}, last ${site.last_seen} UTC, in ${plural(site.reports, "report")}.` }));
    }
    if (site.processes.length > 1) part.append(el("p", { class: "dim", text: site.processes.slice(0, 12).map(([pid, comm, count]) => `${comm} ${pid} (${count})`).join(", ") + (site.processes.length > 12 ? " ..." : "") }));
    part.append(el("p", { text: site.explanation }), ...site.advice.map((text) => el("p", { class: "do", text })));
    const large = lifePart(site);
    part.append(large);
    if (site.held.length) {
      const list = el("ul", { class: "mono" }, ...site.held.map(([count, chain, use]) => el("li", { text: `${count}${use ? `, ${use}` : ""}: ${chain}` })));
      part.append(el("h3", { text: "held now by" }), list);
    }
    part.append(stackPart(site.last.call === "none" ? "last call" : `last call: ${site.last.call}`, site.last));
    for (const [text, stack] of site.now) part.append(stackPart(`now: ${text}`, stack));
    if (site.sent) part.append(stackPart("sent last", site.sent));
    if (site.opened) part.append(stackPart(`opened: ${site.opened.text}`, site.opened));
    if (site.sockets.length > 1) part.append(socketsPart(site, large));
    return part;
  }

  const COLUMNS = [
    ["site", (s) => s.number, "number"], ["sockets", (s) => s.count, "number"],
    ["oldest", (s) => s.sockets.reduce((most, socket) => Math.max(most, socket[3]), 0), "number wide"],
    ...(data.sites.some((s) => s.hosts) ? [["hosts", (s) => s.hosts.length, "number"], ["first seen", (s) => s.first_seen, "wide"], ["last seen", (s) => s.last_seen, "wide"]] : []),
    ["program", (s) => s.program, "wide"], ["verdict", (s) => s.verdict, "short"], ["remote", (s) => `${s.direction} ${s.remote}`, "wide"],
    ["first application frame", (s) => s.where, ""],
  ];
  for (const site of data.sites) {
    site.cells = COLUMNS.map(([, value]) => value(site));
    const names = [site.last, site.opened, ...site.now.map(([, stack]) => stack)].filter((one) => one && one.is !== undefined)
      .flatMap((one) => data.stacks[one.is].frames.map(([name]) => data.texts[name]));
    site.words = [...site.cells, site.id, site.explanation, ...site.advice, ...names, ...(site.hosts || []).map(([name]) => name),
      ...site.sockets.slice(0, 20000).map((socket) => `${socket[0]} ${socket[1]}`)].join("\n").toLowerCase();
  }
  const state = { column: 0, down: false, words: "" };
  const tableBody = el("tbody", {});
  const count = el("span", { class: "dim", role: "status" });
  const heads = COLUMNS.map(([title, , kind], index) => {
    const arrow = el("span", { class: "arrow" });
    const head = el("th", { class: kind, scope: "col" }, el("button", { type: "button", onclick: () => {
      state.down = state.column === index ? !state.down : index > 0 && ["sockets", "oldest", "hosts"].includes(title);
      state.column = index;
      fill();
    } }, `${title} `, arrow));
    return { head, arrow };
  });
  function toggle(site) {
    if (site.below) { site.below.remove(); site.below = null; }
    else {
      site.below = el("tr", {}, el("td", { class: "detail", colspan: COLUMNS.length }, detail(site)));
      site.row.after(site.below);
    }
    site.button.setAttribute("aria-expanded", String(Boolean(site.below)));
  }
  function row(site) {
    site.button = el("button", { type: "button", text: site.number, "aria-expanded": "false", "aria-label": `site ${site.number}: details`,
      onclick: (event) => { event.stopPropagation(); toggle(site); } });
    const cells = COLUMNS.map(([title, , kind], index) => el("td", { class: kind },
      index === 0 ? site.button : title === "oldest" ? duration(site.cells[index]) : String(site.cells[index])));
    return el("tr", { class: "site", onclick: () => { if (!String(getSelection())) toggle(site); } }, ...cells);
  }
  function fill() {
    const { column, down, words } = state;
    const found = data.sites.filter((site) => words.split(/\s+/).every((word) => site.words.includes(word)));
    const order = (a, b) => (a.cells[column] < b.cells[column] ? -1 : a.cells[column] > b.cells[column] ? 1 : a.number - b.number);
    found.sort((a, b) => (down ? order(b, a) : order(a, b)));
    heads.forEach(({ head, arrow }, index) => {
      arrow.textContent = index === column ? (down ? "▾" : "▴") : "";
      if (index === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    tableBody.replaceChildren(...found.flatMap((site) => [site.row, site.below].filter(Boolean)));
    count.textContent = words ? ` ${found.length} of ${plural(data.sites.length, "site")}` : "";
  }

  // Sockets by stack, the outermost callers first; as wide as the number of sockets.
  function tree() {
    const root = { name: "all sockets", count: 0, own: false, below: new Map() };
    for (const site of data.sites) {
      const told = site.last.is !== undefined ? site.last : site.opened && site.opened.is !== undefined ? site.opened : null;
      const frames = told ? data.stacks[told.is].frames.slice().reverse() : [];
      const path = [[site.program, false], ...(frames.length ? frames.map(([name, place, , flags]) => [
        `${data.texts[name]}${data.texts[place] ? ` (${data.texts[place]})` : ""}`, Boolean(flags & OWN)]) : [["no stack", false]]), [site.verdict, false]];
      root.count += site.count;
      let node = root;
      for (const [name, own] of path) {
        if (!node.below.has(name)) node.below.set(name, { name, count: 0, own, above: node, below: new Map() });
        node = node.below.get(name);
        node.count += site.count;
      }
    }
    return root;
  }
  function flame() {
    const root = tree(), box = el("div", { class: "flame" });
    const draw = (top) => {
      let deepest = 0;
      const made = [];
      const add = (node, depth, left, share) => {
        const button = el("button", { type: "button", class: node.own ? "own" : "", text: node.name,
          title: `${node.name}: ${plural(node.count, "socket")}`, "aria-label": `${node.name}: ${plural(node.count, "socket")}`,
          onclick: () => { draw(node === top && node.above ? node.above : node); box.firstChild.focus(); } });
        button.style.left = `${100 * left}%`;
        button.style.width = `${100 * share}%`;
        button.style.top = `${20 * depth}px`;
        made.push(button);
        deepest = Math.max(deepest, depth);
        let x = left;
        for (const below of [...node.below.values()].sort((a, b) => b.count - a.count)) {
          const part = share * below.count / node.count;
          if (part > 0.001) add(below, depth + 1, x, part);
          x += part;
        }
      };
      add(top, 0, 0, 1);
      box.style.height = `${20 * deepest + 21}px`;
      box.replaceChildren(...made);
    };
    draw(root);
    return el("section", {}, el("h2", { text: "Sockets by stack" }),
      el("p", { class: "dim", text: "Outermost callers on top; the program's own functions are coloured. Choose a frame to see it alone, and again to go back." }), box);
  }

  // How many of the reported sockets lingered, over the trace: in CLOSE_WAIT, or reset and still open.
  function growth() {
    const steps = data.sites.flatMap((site) => site.sockets.map((socket) => [socket[3], 1]));
    for (const [from, to] of data.ended) steps.push([from, 1], [to, -1]);
    const began = data.began;
    steps.sort((a, b) => b[0] - a[0]);
    let value = 0, most = 0;
    const line = [];
    for (const [ago, change] of steps) {
      value += change;
      most = Math.max(most, value);
      line.push([Math.min(ago, began), value]);
    }
    const width = 800, height = 130, x = (ago) => 40 + (width - 50) * (1 - ago / Math.max(began, 1)), y = (n) => 105 - 90 * n / Math.max(most, 1);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img" });
    root.append(svg("title", {}, `at most ${most} lingering sockets`));
    let path = `M${x(began)},${y(0)}`, last = 0, drawn = null;
    for (const [ago, n] of line) {
      const place = x(ago).toFixed(1);
      if (place === drawn && n !== most) { last = n; continue; }
      path += `V${y(last).toFixed(1)}H${place}V${y(n).toFixed(1)}`;
      last = n;
      drawn = place;
    }
    path += `V${y(last).toFixed(1)}H${x(0)}V${y(0)}Z`;
    root.append(svg("path", { d: path, class: "area" }), svg("line", { x1: 40, x2: width - 10, y1: 105, y2: 105, class: "axis" }));
    root.append(svg("text", { x: 4, y: y(most) + 5 }, String(most)), svg("text", { x: 4, y: 109 }, "0"));
    root.append(svg("text", { x: 40, y: 124, class: "dimmed" }, "trace begins"));
    root.append(svg("text", { x: width - 10, y: 124, class: "dimmed", "text-anchor": "end" }, `${duration(began)}: report`));
    return el("section", {}, el("h2", { text: "Lingering sockets over the trace" }), root,
      el("p", { class: "dim", text: "Those that this report tells of: since when each lingers (FIN or reset), and when it ended." }));
  }

  const search = el("input", { type: "search", class: "screen", placeholder: "search: function, address, verdict ...", "aria-label": "search sites",
    oninput: () => { state.words = search.value.trim().toLowerCase(); fill(); } });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === search;
    if (event.key === "/" && !typing) { event.preventDefault(); search.focus(); search.select(); }
    else if (event.key === "Escape" && typing) { search.value = ""; state.words = ""; fill(); search.blur(); }
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (typing || (event.target.matches && event.target.matches("tr.site button")))) {
      const buttons = [...tableBody.querySelectorAll("tr.site button")], here = buttons.indexOf(event.target);
      const next = buttons[typing ? 0 : here + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) { event.preventDefault(); next.focus(); }
    }
  });
  addEventListener("beforeprint", () => data.sites.slice(0, 20).forEach((site) => { if (site.row.isConnected && !site.below) toggle(site); }));

  data.sites.forEach((site) => { site.row = row(site); });
  page.classList.toggle("clear", data.clear);
  page.replaceChildren(el("h1", { text: data.headline }),
    el("dl", {}, ...data.facts.flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })])));
  if (data.sites.length) {
    fill();
    page.append(el("h2", { text: "Leak sites" }), el("p", { class: "screen" }, search, count),
      el("div", { class: "scroll" }, el("table", { class: "sites" }, el("thead", {}, el("tr", {}, ...heads.map(({ head }) => head))), tableBody)));
    if (data.began !== null) page.append(growth());
    page.append(flame());
    toggle(data.sites[0]);
  }
  if (data.endings.length) page.append(el("h2", { text: "Lingered and then ended" }), el("ul", {}, ...data.endings.map((text) => el("li", { text }))));
  page.append(el("footer", {}, ...data.notes.map((text) => el("div", { text })),
    el("div", { class: "screen", text: "Keys: / searches, Escape ends it, arrows go from site to site, Enter opens one." })));
  page.dataset.drawn = "yes";
})();

// The reviewer's desk: draws what the server says (tab.py, view.py), and sends what its person wants. Boxes are the
// editor's (editor.js). Every text from outside becomes a text node; a draft of unsaved edits lies in localStorage.
(() => {
  const RENEW_MS = 120_000, PATIENCE_MS = 20_000;

  const NAMES = { real: "Real photo", generated: "AI-generated" };

  // h("div.card", {title: "…"}, child, …)
  function h(tag, attributes = {}, ...children) {
    const [name, ...classes] = tag.split("."), node = document.createElement(name);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value != null) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child != null && child !== false));
    return node;
  }
  const asTyped = (text) => text.replace(/\r\n?/g, "\n").trim(); // a text field has no other line ends
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const typing = (e) => e.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
  // Keys that a button, a link or a radio button uses itself.
  const itsOwn = ({ key, target }) => (target.closest?.("input") && /^(Enter| |Arrow\w+)$/.test(key)) || (target.closest?.("a, button, summary") && /^(Enter| )$/.test(key));
  const token = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  // Who reloads the page (Gradio does so, too, when its server was restarted) comes back to the tab where they were.
  function keepTab() {
    const named = (test) => [...document.querySelectorAll('#lte-tabs [role="tab"]')].find(test), name = (tab) => tab.textContent.trim();
    let last = null;
    try { last = sessionStorage.getItem("lte-tab"); } catch { /* none was kept */ }
    document.addEventListener("click", (e) => {
      const tab = named((one) => one.contains(e.target));
      if (tab) try { sessionStorage.setItem("lte-tab", name(tab)); } catch { /* a forbidden storage forgets */ }
    });
    const drawn = new MutationObserver(() => {
      const tab = named((one) => name(one) === last);
      if (!tab) return;
      drawn.disconnect();
      setTimeout(() => tab.click());
    });
    if (last) drawn.observe(document.documentElement, { childList: true, subtree: true });
  }
  keepTab();

  // Words that were taken out or put in, by the longest common subsequence.
  function difference(before, after) {
    const a = before.split(/\s+/).filter(Boolean), b = after.split(/\s+/).filter(Boolean);
    if (a.length * b.length > 400_000) return [["ins", after]];
    const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    const parts = [];
    const add = (kind, word) => (parts.at(-1)?.[0] === kind ? (parts.at(-1)[1] += ` ${word}`) : parts.push([kind, word]));
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { add("same", a[i++]); j++; }
      else if (j < b.length && (i === a.length || best[i][j + 1] > best[i + 1][j])) add("ins", b[j++]);
      else add("del", a[i++]);
    }
    return parts;
  }

  class Desk {
    constructor(root, keys, send) {
      Object.assign(this, { root, keys, send, serial: 0, wanted: {}, order: "hardest", task: null, busy: false });
      this.live = h("p.rv-live", { role: "status", "aria-live": "polite" });
      document.addEventListener("keydown", (e) => this.key(e));
      setInterval(() => this.renew(), RENEW_MS);
      setInterval(() => this.tick(), 1000);
      addEventListener("beforeunload", () => this.keepDraft());
      // Nobody who only looks at the other tab asks for a sample, or holds one.
      const seen = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        seen.disconnect();
        this.ask({ do: "next" });
      });
      root.replaceChildren(h("p.soft", {}, "…"));
      seen.observe(root);
    }

    visible() { return this.root.offsetParent !== null; }
    say(text) { this.live.textContent = text; }
    ask(act) {
      this.keepDraft();
      if (act.do !== "renew") {
        this.busy = true;
        clearTimeout(this.waiting);
        this.waiting = setTimeout(() => this.noAnswer(), PATIENCE_MS);
      }
      this.serial += 1;
      this.send({ filter: this.wanted, order: this.order, serial: this.serial, ...act });
    }

    noAnswer() {
      this.busy = false;
      if (!this.live.isConnected) {
        this.root.replaceChildren(h("div.lte-card.rv-empty", {}, h("p", {}, "The server does not answer."), h("button", { type: "button", onclick: () => this.ask({ do: "next" }) }, "Try again")));
      }
      this.say("The server does not answer. Nothing is lost: your edits are kept in this browser. Try again.");
    }

    // -- what the server says
    answer(shown) {
      if (!shown?.screen || shown.screen === "loading") return;
      if (shown.person || shown.screen === "signed-out") window.lteSigned(shown.person);
      if (shown.screen === "renewed") return this.renewed(shown.held);
      this.busy = false;
      clearTimeout(this.waiting);
      if (shown.screen !== "released") this.unanswered = null;
      ({
        "signed-out": () => this.drawSignIn(shown.notice),
        notice: () => this.say(shown.notice),
        history: () => this.drawHistory(shown.history),
        conflict: () => this.drawConflict(shown),
        empty: () => this.drawEmpty(shown),
        task: () => this.drawTask(shown),
      })[shown.screen]?.();
    }

    drawSignIn(notice) {
      const lost = this.task !== null;
      this.keepDraft();
      this.clear();
      const problem = h("p.rv-problem", { role: "alert" }, notice || (lost ? "Your sign-in is over. Sign in again: your unsaved edits are kept." : ""));
      const form = h("form.lte-card.rv-signin", { onsubmit: (e) => this.signIn(e, form, problem) },
        h("h2", {}, "Sign in to review"),
        h("p.soft", {}, "Reviewers accept or fix what the models found. Accounts are made by a lead."),
        h("label", {}, "Name", h("input", { name: "name", autocomplete: "username", required: true, autocapitalize: "none" })),
        h("label", {}, "Password", h("input", { name: "password", type: "password", autocomplete: "current-password", required: true })),
        h("button.rv-main", {}, "Sign in"), problem);
      const here = this.root.contains(document.activeElement) || document.activeElement === document.body;
      this.root.replaceChildren(form);
      if (here && this.visible()) form.name.focus({ preventScroll: true });
    }
    async signIn(e, form, problem) {
      e.preventDefault();
      problem.textContent = "";
      const reply = await fetch("review/sign-in", { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
      const said = await reply?.json().catch(() => null);
      if (reply?.ok) return this.ask({ do: "next" });
      problem.textContent = said?.problem ?? "The server did not answer. Try again.";
    }
    async signOut() {
      this.keepDraft();
      this.clear();
      await fetch("review/sign-out", { method: "POST", body: new URLSearchParams() }).catch(() => null);
      window.lteSigned(null);
      this.drawSignIn("");
    }
    clear() { this.task = this.shown = this.editor = this.pickReason = null; }

    drawEmpty(shown) {
      this.settled(shown);
      this.clear();
      this.shown = shown;
      const filtered = Object.values(shown.filters.wanted).some(Boolean);
      const why = shown.progress.total ? "Every sample that fits is decided, or in somebody else's hands. Look again in a while." : filtered ? "No sample fits this filter." : "There are no samples yet. A lead puts some under review with: python -m review import manifest.jsonl";
      this.root.replaceChildren(this.bar(shown), h("div.lte-card.rv-empty", {}, h("h2", {}, "Nothing is left here"), h("p.soft", {}, why),
        h("div.rv-buttons", {}, h("button", { type: "button", onclick: () => this.ask({ do: "next" }) }, "Look again"),
          filtered && h("button", { type: "button", onclick: () => { this.wanted = {}; this.ask({ do: "next" }); } }, "Clear the filter")),
        this.hints(), this.live));
      this.say(shown.notice ?? "");
    }

    // -- the bar: filters, progress, person
    bar({ filters, progress, person }) {
      const choose = (name, values, chosen, any) => h("label", {}, h("span", {}, name), h("select", { "aria-label": name, onchange: (e) => this.refilter(name, e.target.value) },
        any && h("option", { value: "" }, any), ...values.map((v) => h("option", { value: v, selected: v === chosen }, v))));
      const set = Object.values(filters.wanted).filter(Boolean).length, share = progress.total ? Math.round((100 * progress.done) / progress.total) : 0;
      const names = Object.entries(filters.choices).filter(([, values]) => values.length > 1 || filters.wanted.state);
      return h("div.rv-bar", {},
        h("details.rv-filters", { open: this.filtersOpen, ontoggle: (e) => (this.filtersOpen = e.target.open) },
          h("summary", {}, h("b", {}, `${filters.order[0].toUpperCase()}${filters.order.slice(1)} first`), set ? ` · ${set} filter${set > 1 ? "s" : ""}` : " · no filter"),
          h("div", {}, choose("order", filters.orders, filters.order), ...names.map(([name, values]) => choose(name, values, filters.wanted[name], "any")),
            h("label", {}, h("span", {}, "mine"), h("input", { type: "checkbox", checked: filters.wanted.mine, onchange: (e) => this.refilter("mine", e.target.checked) })))),
        h("div.rv-progress", {}, h("div", {}, h("span", {}, `${progress.done} of ${progress.total} · today ${progress.today} · ${progress.hour} / h`),
          h("span", {}, person.name, person.lead ? " (lead) " : " ", h("button.rv-link", { onclick: () => this.signOut() }, "Sign out"))),
          h("div.rv-track", { role: "progressbar", "aria-valuenow": share, "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Samples decided" }, h("i", { style: `width:${share}%` }))));
    }
    refilter(name, value) {
      if (name === "order") this.order = value;
      else this.wanted = { ...this.wanted, [name]: value || null };
      if (this.task) this.ask({ do: "release", task: this.task.id });
      setTimeout(() => this.ask({ do: "next" }), this.task ? 150 : 0);
    }

    // -- a sample
    drawTask(shown) {
      const { task } = shown;
      this.settled(shown);
      this.clear();
      Object.assign(this, { task, shown, since: Date.now() });
      const stage = h("div.rv-stage", {}), loupes = h("div.rv-loupes", {});
      this.text = h("textarea", { rows: 5, maxlength: 4000, "aria-label": "Explanation", oninput: () => this.edited() });
      this.text.value = task.content.explanation;
      this.diff = h("p.rv-diff", {});
      this.labels = ["real", "generated"].map((label) => h("label.rv-choice", {}, h("input", { type: "radio", name: "rv-label", value: label, checked: label === task.content.label, onchange: () => this.edited() }), NAMES[label]));
      this.edits = h("span.rv-edits", {});
      this.reasons = h("div.rv-reasons", { hidden: true });
      this.root.replaceChildren(this.bar(shown), h("datalist", { id: "rv-labels" }, ...[...new Set(task.before.regions.map((r) => r.label))].map((v) => h("option", { value: v }))),
        h("div.rv-grid", {},
          h("section.lte-card.rv-look", {}, stage, this.tools(), loupes),
          h("section.rv-side", {},
            h("div.lte-card", {}, h("header", {}, h("div", { role: "radiogroup", "aria-label": "Label" }, ...this.labels), h("span.soft", {}, task.figures.join(" · "))), this.text, this.diff),
            h("div.lte-card.rv-dock", {}, this.buttons(), this.reasons, this.hints(), this.live),
            h("details.lte-card.rv-history", {}, h("summary", {}, "History", h("span.soft", {}, ` ${task.sample} · ${task.state}${task.gold ? " · gold" : ""}`)), h("div.rv-entries", {}), this.leadTools(shown)))));
      this.drawHistory(shown.history);
      this.editor = new window.LteBoxEditor(stage, loupes, { say: (text) => this.say(text), changed: () => this.edited() });
      this.editor.load({ ...task, crops: shown.crops, regions: task.content.regions, proposed: task.before.regions });
      this.say(shown.notice || (task.held ? "" : "Somebody else holds this sample: you can look, and a decision of yours will ask first."));
      this.restoreDraft();
      this.edited();
      this.tick();
      if (this.root.getBoundingClientRect().top < 0) this.root.scrollIntoView(); // on a phone: the picture comes first
      if (shown.next_image) new Image().src = shown.next_image;
    }
    // What was decided is on disk: its draft is not needed any more. A skipped sample comes back, with its draft.
    settled(shown) {
      this.saved = shown.saved ? Date.now() : null;
      if (shown.saved && this.last.action !== "skip") this.forget(this.kept.key);
    }
    hints() {
      const hint = (action, name, act) => h("button.rv-link", { type: "button", onclick: act }, h("kbd", {}, this.keys[action].toUpperCase()), ` ${name}`);
      this.status = h("span", { "aria-live": "off" });
      return h("p.rv-hints", {}, this.status, hint("undo", "undo last", () => this.go("undo")), hint("previous", "previous", () => this.go("previous")),
        hint("next", "next", () => this.go("following")), hint("help", "all keys", () => this.help()));
    }
    tools() {
      const tool = (key, name, act) => h("button.rv-tool", { type: "button", title: name, onclick: act }, h("kbd", {}, key), ` ${name}`);
      return h("div.rv-tools", {}, tool("D", "draw", () => this.editor.arm()), tool("L", "label", () => this.editor.editLabel()), tool("Del", "remove", () => this.editor.remove()),
        tool("Ctrl Z", "undo", () => this.editor.undo()), tool("+", "zoom", () => this.editor.zoom(1.5)), tool("0", "fit", () => this.editor.fit()));
    }
    buttons() {
      const button = (action, name, css, act) => h(`button${css}`, { type: "button", "data-action": action, onclick: act }, name, " ", h("kbd", {}, this.keys[action].toUpperCase()));
      return h("div.rv-buttons", {}, button("accept", "Accept", ".rv-main", () => this.decide("accept")), button("fix", "Save fix", "", () => this.decide("fix")),
        button("reject", "Reject", ".rv-bad", () => this.askReason()), button("skip", "Skip", "", () => this.decide("skip")), this.edits);
    }
    leadTools({ person, task }) {
      if (!person.lead || task.state === "open") return null;
      return h("button.rv-tool", { type: "button", onclick: () => this.ask({ do: "gold", task: task.id, gold: !task.gold }) }, task.gold ? "No gold item any more" : "Make it a gold item");
    }
    drawHistory(entries) {
      const line = (entry) => h(entry.undone ? "p.undone" : "p", {}, `r${entry.revision} `, h("b", {}, entry.person ?? "models"), ` ${entry.what}`, h("span.soft", {}, ` · ${new Date(entry.at).toLocaleString()}${entry.seconds ? ` · ${Math.round(entry.seconds)} s` : ""}${entry.undone ? " · taken back" : ""}`));
      this.root.querySelector(".rv-entries")?.replaceChildren(...entries.map(line));
    }

    // -- edits
    current() {
      return { label: this.labels.map((l) => l.firstChild).find((input) => input.checked)?.value ?? this.task.content.label, explanation: asTyped(this.text.value), regions: this.editor.regions() };
    }
    dirty() { return this.task && this.editor && !same(this.current(), { ...this.task.content, explanation: asTyped(this.task.content.explanation) }); }
    edited() {
      const parts = difference(this.task.before.explanation, this.text.value);
      this.diff.replaceChildren(...(parts.length > 1 || parts[0]?.[0] !== "same" ? parts.flatMap(([kind, words]) => [kind === "same" ? words : h(kind, {}, words), " "]) : []));
      const dirty = this.dirty();
      this.root.classList.toggle("rv-dirty", dirty);
      this.edits.textContent = dirty ? "unsaved edits" : "";
      clearTimeout(this.drafting);
      this.drafting = setTimeout(() => this.keepDraft(), 400);
    }
    draftKey() { return `lte-draft-${this.shown.person.name}-${this.task.id}`; } // people share computers
    keepDraft() {
      if (!this.task || !this.editor) return;
      try {
        if (this.dirty()) localStorage.setItem(this.draftKey(), JSON.stringify(this.current()));
        else localStorage.removeItem(this.draftKey());
      } catch { /* a full or forbidden storage: the page still holds the edits */ }
    }
    forget(key) {
      try { localStorage.removeItem(key); } catch { /* none was kept */ }
    }
    restoreDraft() {
      let draft = null;
      try { draft = JSON.parse(localStorage.getItem(this.draftKey())); } catch { return; }
      if (!draft || same(draft, this.current())) return;
      this.put(draft);
      this.say("Your unsaved edits are back. Ctrl+Z takes the boxes back to what was saved.");
    }
    put({ label, explanation, regions }) {
      this.text.value = explanation;
      for (const choice of this.labels) choice.firstChild.checked = choice.firstChild.value === label;
      this.editor.edit(regions.map((r) => ({ bbox: [...r.bbox], label: r.label })), "");
      this.edited();
    }

    // -- decisions
    decide(action, extra = {}) {
      if (!this.task || this.busy) return;
      if (action === "accept" && this.dirty()) return this.say(`You have unsaved edits: ${this.keys.fix.toUpperCase()} saves them, Ctrl+Z takes them back.`);
      const act = { do: "decide", task: this.task.id, version: this.task.version, action, content: action === "fix" ? this.current() : null, ...extra };
      // The same decision once more, because no answer came, is the same submission: it counts once.
      const again = this.unanswered && same(this.unanswered.act, act);
      this.unanswered = again ? this.unanswered : { act, token: token() };
      this.last = { ...act, token: this.unanswered.token, seconds: (Date.now() - this.since) / 1000 };
      this.kept = { key: this.draftKey(), content: this.current() };
      this.say("Saving…");
      this.ask(this.last);
    }
    askReason() {
      if (!this.task || this.busy) return;
      const comment = h("input", { type: "text", maxlength: 1000, placeholder: "comment (optional)", "aria-label": "Comment" });
      const pick = (reason) => this.decide("reject", { reason, comment: comment.value });
      this.pickReason = (number) => this.shown.reasons[number - 1] && pick(this.shown.reasons[number - 1]);
      this.reasons.replaceChildren(h("p", {}, "Why?"), ...this.shown.reasons.map((reason, i) => h("button.rv-tool", { type: "button", onclick: () => pick(reason) }, h("kbd", {}, i + 1), ` ${reason}`)), comment);
      this.reasons.hidden = false;
      this.reasons.querySelector("button").focus();
    }
    closeReasons() {
      this.pickReason = null;
      this.reasons.hidden = true;
    }
    go(where) {
      if (!this.shown || this.busy) return;
      this.ask(where === "following" && !this.task ? { do: "next" } : { do: where, task: this.task?.id ?? null });
    }
    drawConflict({ why, theirs }) {
      const mine = this.kept.content;
      const side = (title, content, state, ...actions) => h("section.lte-card", {}, h("h2", {}, title, " ", h("span.chip", {}, state)),
        h("div.rv-mini", { style: `aspect-ratio:${theirs.width}/${theirs.height}` }, h("img", { src: theirs.image, alt: "" }), ...content.regions.map(({ bbox: [x1, y1, x2, y2], label }, i) =>
          h("div", { style: `left:${(100 * x1) / theirs.width}%;top:${(100 * y1) / theirs.height}%;width:${(100 * (x2 - x1)) / theirs.width}%;height:${(100 * (y2 - y1)) / theirs.height}%` }, h("b", {}, `${i + 1} ${label}`)))),
        h("p", {}, h("b", {}, NAMES[content.label])), h("p", {}, content.explanation), h("div.rv-buttons", {}, ...actions));
      const button = (name, css, act) => h(`button${css}`, { type: "button", onclick: () => { dialog.close(); act(); } }, name);
      const back = () => this.say("Your edits are still here.");
      const dialog = this.dialog("Two versions", ".rv-conflict", h("header", {}, h("h2", {}, why), h("p.soft", {}, "Nothing is lost: compare, and choose which one counts.")),
        h("div.rv-two", {}, side("Theirs", theirs.content, theirs.state, button("Take theirs", "", () => this.takeTheirs())),
          side("Yours", mine, this.last.action, button("Keep mine", ".rv-main", () => this.keepMine(theirs, mine)), button("Back to my edits", "", back))));
      dialog.addEventListener("cancel", back);
      dialog.querySelector("section:last-child button:last-child").focus(); // what loses nothing
    }
    takeTheirs() {
      this.forget(this.kept.key);
      this.editor = null;
      this.ask({ do: "next" });
    }
    // What this person accepted is what they saw, not what somebody made of it since: it is sent along.
    keepMine(theirs, mine) {
      const changed = this.last.action === "accept" ? { action: "fix", content: mine } : {};
      this.last = { ...this.last, ...changed, token: token(), version: theirs.version, overrule: true };
      this.ask(this.last);
    }
    dialog(name, css, ...children) {
      const dialog = h(`dialog.rv-dialog${css}`, { "aria-label": name, onclose: () => dialog.remove(), onclick: (e) => e.target === dialog && css === ".rv-help" && dialog.close(),
        onkeydown: (e) => { e.stopPropagation(); if (css === ".rv-help" && e.key === this.keys.help) { e.preventDefault(); dialog.close(); } } }, ...children);
      this.root.append(dialog);
      dialog.showModal();
      return dialog;
    }

    // -- time
    renew() { if (this.task?.held && this.visible() && !document.hidden && !this.busy) this.ask({ do: "renew", task: this.task.id }); }
    renewed(held) { if (this.task && !held) { this.task.held = false; this.say("Your hold on this sample ran out. You can go on; if somebody else decides it first, you will be asked."); } }
    tick() {
      if (!this.saved || !this.status) return;
      const seconds = Math.round((Date.now() - this.saved) / 1000);
      this.status.textContent = `✓ saved ${seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} ago`;
    }

    // -- keys
    key(e) {
      if (!this.shown || !this.visible() || e.isComposing || this.root.querySelector("dialog")) return;
      if ((e.ctrlKey || e.metaKey) && e.key === "Enter") { e.preventDefault(); return this.decide("fix"); }
      if (typing(e)) { if (e.key === "Escape") e.target.blur(); return; }
      if (this.pickReason) {
        if (e.key === "Escape") { e.preventDefault(); return this.closeReasons(); }
        if (/^[1-9]$/.test(e.key)) { e.preventDefault(); return this.pickReason(Number(e.key)); }
      }
      const inside = e.key !== "Backspace" || this.root.contains(e.target) || e.target === document.body;
      if (!itsOwn(e) && inside && this.editor?.key(e)) return e.preventDefault();
      if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return; // a key that is held down decides once
      const action = Object.keys(this.keys).find((name) => this.keys[name] === e.key.toLowerCase());
      const act = {
        accept: () => this.decide("accept"), fix: () => this.decide("fix"), skip: () => this.decide("skip"), reject: () => this.askReason(),
        undo: () => this.go("undo"), previous: () => this.go("previous"), next: () => this.go("following"),
        explanation: () => this.task && this.text.focus(), help: () => this.help(),
      }[action];
      if (act) { e.preventDefault(); act(); }
    }
    help() {
      const names = { accept: "accept as it is", fix: "save my edits (also Ctrl Enter)", reject: "reject, with a reason", skip: "skip for now", undo: "take my last decision back", previous: "my decision before", next: "forward again", explanation: "edit the explanation", help: "these keys" };
      const rows = [...Object.entries(this.keys).map(([name, key]) => [key.toUpperCase(), names[name]]), ["D", "draw a box: drag, or Enter"], ["1–9", "choose a box"], ["L", "edit its label"], ["← ↑ ↓ →", "nudge by 1 px, Shift 10 px, Ctrl resizes"], ["Del", "delete the box"], ["Ctrl Z / Ctrl Shift Z", "undo and redo edits"], ["+ − 0", "zoom in, out, fit"], ["B", "show or hide what the models proposed"]];
      const dialog = this.dialog("Keys", ".rv-help", h("header", {}, h("h2", {}, "Keys"), h("button.rv-link", { type: "button", onclick: () => dialog.close() }, "Close")),
        h("dl", {}, ...rows.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])));
    }
  }

  window.lteDesk = (element, props, trigger, watch) => {
    const root = element.querySelector(".rv-root") ?? element;
    const desk = new Desk(root, props.value.keys, (act) => { props.value = act; trigger("input"); });
    watch("value", () => props.value?.screen && desk.answer(props.value));
  };
})();

// Below the desk: who may see what, and for leads samples in as a zip file, reviewed samples out (web.py).
(() => {
  const FORMATS = { trl: "TRL", "llama-factory": "LLaMA-Factory", "ms-swift": "ms-swift", "label-studio": "Label Studio", coco: "COCO" };
  const SFT = ["trl", "llama-factory", "ms-swift"];

  function make(html) {
    const template = document.createElement("template");
    template.innerHTML = html; // of this file alone: what the server says becomes text below
    return template.content.firstElementChild;
  }

  async function send(file, said, button) {
    button.disabled = true;
    said.textContent = `Sending ${file.name} …`;
    const reply = await fetch("review/import", { method: "POST", body: file, headers: { "Content-Type": "application/zip" } }).catch(() => null);
    const told = await reply?.json().catch(() => null);
    button.disabled = false;
    if (!reply?.ok || !told) said.textContent = told?.problem ?? "The server did not take the file. It may be larger than 2 GB: use the command then.";
    else said.textContent = [`${told.new} samples are new, ${told.known} were there already, ${told.bad} lines were bad.`, ...told.lines].join("\n");
  }

  // What only some may use is shown to them alone (style.css). That is a courtesy; the server asks for itself.
  window.lteSigned = (person) => {
    document.documentElement.classList.toggle("rv-in", Boolean(person?.name));
    document.documentElement.classList.toggle("rv-leads", Boolean(person?.lead));
  };
  fetch("review/me").then((reply) => reply.json()).then(window.lteSigned, () => {});

  window.lteLead = (element) => {
    const root = element.querySelector(".rv-root") ?? element;
    root.replaceChildren(make(`<div class="rv-lead">
      <form class="lte-card"><h2>Import</h2>
        <p class="soft">A zip file of a manifest.jsonl and its images. What is there already is left alone. Larger ones: <code>python -m review import</code>.</p>
        <label>Zip file <input type="file" name="file" accept=".zip,application/zip" required></label>
        <button>Import</button><p class="rv-told" role="status"></p></form>
      <form class="lte-card"><h2>Export</h2>
        <p class="soft">What people accepted or fixed, as a zip file: manifest, SFT data, images, and every sample left out with its reason.</p>
        <fieldset>${Object.entries(FORMATS).map(([key, name]) => `<label><input type="checkbox" name="format" value="${key}"${SFT.includes(key) ? " checked" : ""}> ${name}</label>`).join("")}</fieldset>
        <a class="rv-button" download="trace-reviewed.zip" href="#">Export</a></form></div>`));
    const [incoming, outgoing] = root.querySelectorAll("form"), link = outgoing.querySelector("a");
    const follow = () => (link.href = `review/export.zip?${new URLSearchParams(new FormData(outgoing))}`);
    incoming.addEventListener("submit", (e) => {
      e.preventDefault();
      send(incoming.file.files[0], incoming.querySelector(".rv-told"), incoming.querySelector("button"));
    });
    outgoing.addEventListener("change", follow);
    outgoing.addEventListener("submit", (e) => e.preventDefault());
    follow();
  };
})();

// Every way to give a picture (drop anywhere, paste, camera, example, file dialog) ends in one file input:
// that of Gradio's upload button. And a numbered thing leads to its counterpart.
(() => {
  const root = document.documentElement;
  const find = (selector) => document.querySelector(selector);
  const MOST_MB = Number(find('meta[name="lte-most-mb"]').content); // LTE_MAX_MEGABYTES
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  function notice(text) {
    const place = find("#lte-notice");
    if (place) place.textContent = text;
  }

  // Gradio's upload button is this input and a visible button beside it.
  const door = () => find('input[type="file"][data-testid$="-upload-button"]');

  function give(file) {
    const input = door();
    if (!input || !file) return;
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // What the visitor sees until the server answers: their own picture, from their own machine.
  let address = "";
  function preview(file) {
    notice("");
    URL.revokeObjectURL(address);
    address = file.type.startsWith("image/") ? URL.createObjectURL(file) : "";
    root.style.setProperty("--preview", address ? `url("${address}")` : "none");
    const status = find("#lte-steps [role=status]");
    if (status) status.textContent = "Sending your picture…";
  }

  async function paste() {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((name) => name.startsWith("image/"));
        if (type) return give(new File([await item.getType(type)], "pasted picture", { type }));
      }
      notice("There is no picture on the clipboard. Copy one first.");
    } catch {
      notice("The browser did not allow reading the clipboard. Press Ctrl+V or ⌘V instead.");
    }
  }

  async function camera() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1920 } });
    } catch {
      return notice("The camera could not be opened. Allow it for this page, or choose a file.");
    }
    const dialog = document.createElement("dialog");
    dialog.className = "lte-camera";
    dialog.setAttribute("aria-label", "Camera");
    dialog.innerHTML =
      '<video autoplay playsinline muted></video><div><button class="lte-tool" value="cancel">Cancel</button>' +
      '<button class="lte-tool" value="take" disabled>Take picture</button></div>';
    const video = dialog.querySelector("video");
    video.srcObject = stream;
    video.addEventListener("loadeddata", () => (dialog.querySelector("[value=take]").disabled = false)); // has a picture
    dialog.addEventListener("click", ({ target }) => {
      if (target.value === "take") {
        const canvas = document.createElement("canvas");
        canvas.width = video.videoWidth;
        canvas.height = video.videoHeight;
        canvas.getContext("2d").drawImage(video, 0, 0);
        canvas.toBlob((blob) => give(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
      }
      if (target.value) dialog.close();
    });
    dialog.addEventListener("close", () => {
      stream.getTracks().forEach((track) => track.stop());
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  async function example(path) {
    try {
      const response = await fetch(path);
      if (!response.ok) throw new Error(response.statusText);
      give(new File([await response.blob()], path.split("/").pop(), { type: "image/jpeg" }));
    } catch {
      notice("This example could not be loaded. Choose another one, or load the page again.");
    }
  }

  function go(id) {
    const target = document.getElementById(id);
    if (!target) return;
    target.focus({ preventScroll: true, focusVisible: true });
    target.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
  }

  const acts = { choose: () => find("#lte-pick")?.click(), paste, camera };
  // A phone offers its camera and photos only when it knows that a picture is wanted. Gradio would refuse other
  // files without a word about what to do, so it is not told.
  document.addEventListener("click", () => door()?.setAttribute("accept", "image/*"), true);
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-act], [data-goto], [data-example]");
    if (!button) return;
    const { act, goto, example: path } = button.dataset;
    if (act) acts[act]?.();
    if (goto) go(goto);
    if (path) example(path);
  });
  document.addEventListener(
    "change",
    (event) => {
      const file = event.target === door() && event.target.files[0];
      if (!file) return;
      if (file.size <= MOST_MB * 2 ** 20) return preview(file);
      event.stopImmediatePropagation(); // Gradio would send it, and say nothing about what to do
      event.target.value = "";
      notice(`This file is larger than ${MOST_MB} MB. Choose a smaller one.`);
    },
    true,
  );
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) give(file);
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    root.classList.add("lte-dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) root.classList.remove("lte-dragging");
  });
  document.addEventListener("drop", (event) => {
    root.classList.remove("lte-dragging");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    give(file);
  });
})();

// ipywidgets writes a slider's description beside it, but tells it to no screen reader. This does, for the sliders of
// the explorer that it is in, and for those that come later.
function name(root) {
  for (const slider of root.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label")?.textContent.trim() || "slider";
    for (const handle of slider.querySelectorAll(".noUi-handle")) handle.setAttribute("aria-label", label);
    for (const number of slider.querySelectorAll(".widget-readout")) number.setAttribute("aria-label", `${label}, number`);
  }
}

function render({ el }) {
  el.style.display = "none";
  let watch = null;
  let gone = false;
  requestAnimationFrame(function begin() {
    const root = el.closest(".workbench-explorer");
    if (gone) return;
    if (!root) return void requestAnimationFrame(begin); // not yet in the page
    name(root);
    watch = new MutationObserver(() => name(root));
    watch.observe(root, { childList: true, subtree: true });
  });
  return () => { gone = true; watch?.disconnect(); };
}

export default { render };

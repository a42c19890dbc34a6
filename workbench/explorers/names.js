// ipywidgets writes a description beside a slider or above a row of buttons, but tells it to no screen reader, nor which
// of the buttons is down. This does, for the explorer that it is in, and for the controls that come later.
function name(root, picture) {
  const label = (control, otherwise) => control.querySelector(".widget-label")?.textContent.trim() || otherwise;
  for (const slider of root.querySelectorAll(".widget-slider")) {
    const called = label(slider, "slider");
    for (const handle of slider.querySelectorAll(".noUi-handle")) handle.setAttribute("aria-label", called);
    for (const number of slider.querySelectorAll(".widget-readout")) number.setAttribute("aria-label", `${called}, number`);
  }
  for (const image of root.querySelectorAll("img.widget-image")) image.alt ||= picture;
  for (const group of root.querySelectorAll(".widget-toggle-buttons")) {
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label(group, "choice"));
  }
  for (const button of root.querySelectorAll(".widget-toggle-button")) {
    button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
  }
}

function render({ model, el }) {
  el.style.display = "none";
  let watch = null;
  let gone = false;
  requestAnimationFrame(function begin() {
    const root = el.closest(".workbench-explorer");
    if (gone) return;
    if (!root) return void requestAnimationFrame(begin); // not yet in the page
    name(root, model.get("picture"));
    watch = new MutationObserver(() => name(root, model.get("picture")));
    watch.observe(root, { childList: true, subtree: true, attributeFilter: ["class"] });
  });
  return () => { gone = true; watch?.disconnect(); };
}

export default { render };

// The game "Which curve is it?": a loss curve, four diagnoses, and what each of them looks like.
// The curves come from curves.js, which `python -m tools curves` writes.

// What the curves of each failure mode of notebook 04 show, and the remedy.
const DIAGNOSES = {
  "healthy": [
    "both losses fall quickly and level off; in the end the training loss is a little lower.",
    "No remedy is needed.",
  ],
  "learning rate too low": [
    "both losses fall slowly, close to each other, and still fall in the last epoch.",
    "Raise the learning rate, for example after a learning rate range test.",
  ],
  "learning rate too high": [
    "both losses go up and down and end higher than in a healthy run.",
    "Lower the learning rate, or use warm-up and a schedule.",
  ],
  "learning rate grows": [
    "the run is healthy at first, then gets worse in steps, each time after the same number of epochs.",
    "Plot the learning rate of each epoch; here gamma was 10 instead of 0.1.",
  ],
  "one epoch at a high rate": [
    "a spike in the middle of a healthy run, which then goes on at a higher loss.",
    "Plot the learning rate of each epoch, especially after a run was resumed.",
  ],
  "network too small": [
    "both losses level off together, far above zero.",
    "Use more channels or layers.",
  ],
  "overfitting": [
    "the training loss falls toward zero, while the validation loss turns and rises.",
    "Use more training images, augmentation, regularization or early stopping.",
  ],
  "label noise": [
    "the training loss is high and stays above the validation loss, although nothing is augmented.",
    "Look at the training images with the highest losses and correct their labels.",
  ],
  "labels of other images": [
    "the training loss hardly falls, and the validation loss rises above chance level.",
    "Check that images and labels are in the same order.",
  ],
  "leakage": [
    "the two losses stay equal until the end, but the test accuracy is lower than the validation accuracy.",
    "Remove images that are in more than one of the sets.",
  ],
  "no shuffling": [
    "the training loss starts above chance level, and the accuracies are poor.",
    "Set shuffle=True in the DataLoader of the training set.",
  ],
  "no zero_grad()": [
    "the loss rises far above chance level within the first epochs.",
    "Call optimizer.zero_grad() before each backward pass.",
  ],
  "training in eval mode": [
    "both losses stay at chance level for some epochs and fall only then.",
    "Call model.train() before the training batches of each epoch.",
  ],
  "validation without eval()": [
    "the training loss is healthy, the validation loss is bad from the first epoch, the test accuracy is good.",
    "Call model.eval() before validation.",
  ],
  "schedule per batch": [
    "the losses fall in the first epoch or two and are constant afterwards, because the learning rate is almost 0.",
    "Call scheduler.step() once per epoch, or choose the schedule for the number of batches.",
  ],
  "dead ReLUs": [
    "both losses are exactly at chance level, in every epoch.",
    "Lower the learning rate, or use leaky ReLUs.",
  ],
};

(() => {
  const { chance, epochs, curves } = CURVE_GAME;
  const modes = Object.keys(DIAGNOSES);
  const place = document.getElementById("curve-game");
  const choices = 4;
  const [width, height] = [420, 270];
  const margin = { left: 48, right: 12, top: 12, bottom: 40 };
  let order, round, score, firstTry;

  const shuffled = (items) => {
    const copy = [...items];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = Math.floor(Math.random() * (last + 1));
      [copy[last], copy[other]] = [copy[other], copy[last]];
    }
    return copy;
  };

  const element = (tag, text, parent) => {
    const node = document.createElement(tag);
    node.textContent = text;
    parent.append(node);
    return node;
  };

  const shown = (losses) => losses.map((loss) => Number(loss.toPrecision(3))).join(", ");

  const describe = ({ train, val }) =>
    `Losses of ${train.length} epochs. Training: ${shown(train)}. Validation: ${shown(val)}. ` +
    `Chance level: ${chance.toFixed(2)}.` +
    (train.length < epochs ? " Then the loss is not a number." : "");

  // A run whose loss is no longer a number stops early.
  const chart = (curve) => {
    const top = 1.5 * chance; // losses above it are drawn at the edge
    const x = (epoch) =>
      margin.left + (epoch / (epochs - 1)) * (width - margin.left - margin.right);
    const y = (loss) =>
      height - margin.bottom - (Math.min(loss, top) / top) * (height - margin.top - margin.bottom);
    const mark = {
      train: (cx, cy) => `<circle class="train" cx="${cx}" cy="${cy}" r="3"/>`,
      val: (cx, cy) => `<rect class="val" x="${cx - 3}" y="${cy - 3}" width="6" height="6"/>`,
    };
    const line = (name) => {
      const points = curve[name].map((loss, epoch) => [x(epoch), y(loss)]);
      const marks = points.map(([cx, cy]) => mark[name](cx, cy));
      return `<polyline class="${name}" points="${points.join(" ")}"/>${marks.join("")}`;
    };
    const labels = [];
    for (let loss = 0; loss <= top; loss += 1) {
      labels.push(`<text x="${margin.left - 8}" y="${y(loss) + 4}" text-anchor="end">${loss}</text>`);
    }
    const step = Math.ceil(epochs / 8);
    for (let epoch = 0; epoch < epochs; epoch += step) {
      labels.push(
        `<text x="${x(epoch)}" y="${height - margin.bottom + 18}" text-anchor="middle">${epoch + 1}</text>`,
      );
    }
    const stop = curve.train.length;
    const end =
      stop < epochs ? `<text x="${x(stop)}" y="${y(top) + 30}">× the loss is not a number</text>` : "";
    const [left, right, bottom] = [margin.left, width - margin.right, height - margin.bottom];
    return (
      `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${describe(curve)}">` +
      `<path class="axis" d="M${left} ${margin.top}V${bottom}H${right}"/>` +
      `<path class="chance" d="M${left} ${y(chance)}H${right}"/>` +
      `<text x="${right}" y="${y(chance) - 6}" text-anchor="end">chance level</text>` +
      `<text x="${(left + right) / 2}" y="${height - 4}" text-anchor="middle">epoch</text>` +
      `<text x="12" y="${(margin.top + bottom) / 2}" text-anchor="middle" ` +
      `transform="rotate(-90 12 ${(margin.top + bottom) / 2})">loss (nats)</text>` +
      `${labels.join("")}${end}${line("val")}${line("train")}</svg>`
    );
  };

  const ask = () => {
    const curve = order[round];
    const others = shuffled(modes).filter((name) => name !== curve.name);
    firstTry = true;
    place.replaceChildren();
    const status = `Curve ${round + 1} of ${order.length}. Right at the first try: ${score}.`;
    element("p", status, place);
    const figure = element("div", "", place);
    figure.innerHTML =
      chart(curve) +
      '<p><span class="train">● training loss</span> <span class="val">■ validation loss</span></p>';
    element("p", `Accuracy in the end (training, validation, test): ${curve.accuracies}`, place);
    const question = element("p", "What is going on in this training run?", place);
    question.tabIndex = -1;
    const buttons = element("div", "", place);
    buttons.className = "choices";
    const answer = element("p", "", place);
    answer.setAttribute("aria-live", "polite");
    const next = element("button", "Next curve", place);
    next.hidden = true;
    next.onclick = () => {
      round += 1;
      if (round < order.length) ask();
      else finish();
      place.querySelector("[tabindex]").focus({ preventScroll: true });
    };
    for (const name of shuffled([curve.name, ...others.slice(0, choices - 1)])) {
      const button = element("button", name, buttons);
      button.onclick = () => {
        const [sign, remedy] = DIAGNOSES[name];
        if (name !== curve.name) {
          firstTry = false;
          button.disabled = true;
          answer.textContent = `No. ${name}: ${sign} Look again.`;
          return;
        }
        if (firstTry) score += 1;
        for (const each of buttons.children) each.disabled = true;
        button.classList.add("right");
        answer.textContent = `Right. ${name}: ${sign} ${remedy}`;
        next.hidden = false;
        next.focus({ preventScroll: true });
      };
    }
  };

  const finish = () => {
    place.replaceChildren();
    const result = `You recognized ${score} of ${order.length} curves at the first try.`;
    element("p", result, place).tabIndex = -1;
    element("button", "Play again", place).onclick = start;
  };

  // One curve of each failure mode; the seed differs from game to game.
  const start = () => {
    order = shuffled(modes).map((name) => shuffled(curves).find((curve) => curve.name === name));
    round = score = 0;
    ask();
  };

  start();
})();

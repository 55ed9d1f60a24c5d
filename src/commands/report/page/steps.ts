/** How far values moved, counted in steps of value: for all tensors, and for each module. */
import { axisBottom, axisLeft } from "d3-axis";
import { scaleBand, scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { data } from "./figures.js";
import { element, percent, shown } from "./text.js";

const stepsText = (index: number): string =>
  index < 2
    ? String(index)
    : index === 2
      ? "2–3"
      : index < 11
        ? `${2 ** (index - 1)}–${2 ** index - 1}`
        : `2^${index - 1}–`;

export function drawSteps(): void {
  const choice = element<HTMLSelectElement>("scope");
  const scopes = [
    { label: "all tensors", steps: data.total.steps },
    ...data.modules.map(({ name, steps }) => ({ label: shown(name), steps })),
  ].filter(({ steps }) => steps !== null);
  if (scopes.length === 0) {
    choice.closest("section")?.remove();
    return;
  }
  scopes.forEach(({ label }, index) => {
    choice.append(new Option(label, String(index)));
  });
  const draw = (): void => {
    const { label = "", steps } = scopes[Number(choice.value)] ?? {};
    const counts = steps ?? [];
    const total = counts.reduce((sum, count) => sum + count, 0);
    const shares = counts.map((count) => (total === 0 ? 0 : count / total));
    const width = Math.max(360, 56 * shares.length + 70);
    const x = scaleBand(
      shares.map((_, index) => index),
      [56, width - 10],
    ).padding(0.15);
    const y = scaleLinear([0, Math.max(...shares, 0.01)], [190, 22]).nice();
    const svg = select(element<SVGSVGElement>("steps"));
    svg.selectAll("*").remove();
    svg
      .attr("width", width)
      .attr("height", 220)
      .attr(
        "aria-label",
        `${label}: ${shares.map((share, index) => `${stepsText(index)} steps ${percent(share)}`).join(", ")}`,
      );
    svg.append("g").attr("transform", "translate(0,190)").call(axisBottom(x).tickFormat(stepsText).tickSizeOuter(0));
    svg
      .append("g")
      .attr("transform", "translate(56,0)")
      .call(
        axisLeft(y)
          .ticks(4)
          .tickFormat((value) => percent(Number(value))),
      );
    const bars = svg.selectAll("g.bar").data(shares).join("g");
    bars
      .append("rect")
      .attr("class", "shares")
      .attr("x", (_, index) => x(index) ?? 0)
      .attr("y", (share) => y(share))
      .attr("width", x.bandwidth())
      .attr("height", (share) => 190 - y(share));
    bars
      .append("text")
      .attr("x", (_, index) => (x(index) ?? 0) + x.bandwidth() / 2)
      .attr("y", (share) => y(share) - 5)
      .attr("text-anchor", "middle")
      .text((share) => (share === 0 ? "" : percent(Number(share.toPrecision(2)))));
  };
  choice.addEventListener("change", draw);
  draw();
}

for (const figure of document.querySelectorAll(".slider")) {
  const [input, output] = [figure.querySelector("input"), figure.querySelector("output")];
  const pictures = figure.querySelectorAll("img");
  const show = () => {
    pictures.forEach((picture, k) => { picture.hidden = k !== Number(input.value); });
    output.textContent = pictures[input.value].dataset.title;
  };
  input.addEventListener("input", show);
  show();
}

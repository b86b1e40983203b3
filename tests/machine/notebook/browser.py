"""Open a notebook in JupyterLab with headless Chromium, run all its cells, and tell what is to be seen.

    browser.py URL FOLDER

prints as JSON, cell by cell, `error` (its traceback and warnings, or nothing), `pictures` (of each: the size of the
file and the one on the page) and `text`; a screenshot of each cell's output is in FOLDER as `cell-NUMBER.png`. Where
there is a slider, the first is moved one step by the keyboard, and `moved` tells whether its picture became another,
with `cell-NUMBER-moved.png`. Where there is a bar while the cell runs, `meanwhile` is the text of its output then, with
`cell-NUMBER-meanwhile.png`, as soon as that tells how far it is; then there is a file `seen`. Where there is a canvas,
the screenshot waits until it stands still. Where there is a button for a password, it is pressed, and `password` is
what it shows. At the end the notebook is saved, and opened again without what its widgets held, as most front ends save
it: `reopened` is the pictures of each cell then.
"""

import contextlib
import io
import json
import re
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

# WebGL without a graphics card.
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--window-size=1280,1400",
)  # fmt: skip
SECONDS = 300
# Fewer are those of the cross-hair and of letters: nothing has been drawn yet.
COLOURS = 100
# The pixels of a picture's file, whatever of it is in sight.
DRAWN = """
const [picture] = arguments, canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
canvas.getContext("2d").drawImage(picture, 0, 0);
return canvas.toDataURL();
"""
LOADED = "return arguments[0].complete && arguments[0].naturalWidth > 0"
HIDE = """
const style = document.createElement("style");
style.innerText = ".jp-OutputPrompt {display: none}";
document.head.append(style);
"""


def main(url: str, folder: Path) -> list[dict]:
    """Return what is to be seen of each cell."""
    folder.mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        meanwhile = run_all(driver, url, folder)
        driver.save_screenshot(str(folder / "page.png"))
        cells = driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell")
        found = [seen(driver, cell, folder / f"cell-{number}.png") for number, cell in enumerate(cells)]
        for number, text in meanwhile.items():
            found[number]["meanwhile"] = text
        save(driver)
        for cell, pictures in zip(found, reopened(driver, url), strict=True):
            cell["reopened"] = pictures
        return found
    except Exception:
        driver.save_screenshot(str(folder / "failure.png"))
        raise
    finally:
        driver.quit()


def run_all(driver: webdriver.Chrome, url: str, folder: Path) -> dict[int, str]:
    """Open the notebook, choose Run All Cells in the menu, and return when the last one is done or one has failed.

    Return the text below the cells that had a bar on the way, by their numbers.
    """
    wait = WebDriverWait(driver, SECONDS, ignored_exceptions=[StaleElementReferenceException])
    driver.get(url)
    wait.until(lambda _: "| Idle" in driver.find_element(By.TAG_NAME, "body").text, "no kernel became idle")
    # The numbers beside the outputs would be in the screenshots.
    driver.execute_script(HIDE)
    driver.find_element(By.XPATH, "//div[contains(@class, 'lm-MenuBar-itemLabel') and text()='Run']").click()
    wait.until(lambda _: driver.find_elements(By.CSS_SELECTOR, "li[data-command='runmenu:run-all']"))[0].click()
    meanwhile: dict[int, str] = {}

    def is_over(_) -> bool:
        look_for_bars(driver, folder, meanwhile)
        return bool(errors(driver)) or all(map(is_done, prompts(driver)))

    wait.until(is_over, "the cells did not come to their end")
    return meanwhile


def look_for_bars(driver: webdriver.Chrome, folder: Path, meanwhile: dict[int, str]) -> None:
    """Keep what is to be seen below a cell that has a bar."""
    if not driver.find_elements(By.TAG_NAME, "progress"):
        return
    for number, cell in enumerate(driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell")):
        if number not in meanwhile and cell.find_elements(By.TAG_NAME, "progress"):
            output = cell.find_element(By.CSS_SELECTOR, ".jp-Cell-outputWrapper .jp-OutputArea")
            text = output.text
            if not re.search(r"\d/\d", text):
                continue
            output.screenshot(str(folder / f"cell-{number}-meanwhile.png"))
            meanwhile[number] = text
            Path("seen").touch()


def prompts(driver: webdriver.Chrome) -> list[str]:
    return [prompt.text for prompt in driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell .jp-InputPrompt")]


def is_done(prompt: str) -> bool:
    return prompt.strip("[]: ").isdigit()


def errors(element) -> list[str]:
    """Return the text of tracebacks and warnings."""
    return [said.text for said in element.find_elements(By.CSS_SELECTOR, "[data-mime-type$='jupyter.stderr']")]


def seen(driver: webdriver.Chrome, cell, path: Path) -> dict:
    """Return what is to be seen of one cell, with a screenshot of its output."""
    found = {"error": "\n".join(errors(cell)), "text": "", "pictures": []}
    outputs = cell.find_elements(By.CSS_SELECTOR, ".jp-Cell-outputWrapper .jp-OutputArea")
    if not outputs or not outputs[0].size["height"]:
        return found
    output = outputs[0]
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", output)
    if output.find_elements(By.TAG_NAME, "canvas"):
        wait_until_still(output.find_element(By.TAG_NAME, "canvas"))
    found["text"] = output.text
    found["pictures"] = [size(driver, picture) for picture in output.find_elements(By.TAG_NAME, "img")]
    output.screenshot(str(path))
    buttons = output.find_elements(By.CSS_SELECTOR, ".provision-password button")
    if buttons:
        found["password"] = pressed(driver, buttons[0], output)
        output.screenshot(str(path.with_name(f"{path.stem}-pressed.png")))
    handles = output.find_elements(By.CSS_SELECTOR, ".noUi-handle")
    if handles:
        found["moved"] = moves(driver, handles[0], output)
        output.screenshot(str(path.with_name(f"{path.stem}-moved.png")))
    return found


def size(driver: webdriver.Chrome, picture) -> dict[str, int]:
    # Of one that was put there just now, nothing is known yet.
    with contextlib.suppress(TimeoutException):
        WebDriverWait(driver, 60).until(lambda _: driver.execute_script(LOADED, picture))
    names = {"file_width": "naturalWidth", "file_height": "naturalHeight", "width": "width", "height": "height"}
    return {name: driver.execute_script(f"return arguments[0].{of}", picture) for name, of in names.items()}


def moves(driver: webdriver.Chrome, handle, output) -> bool:
    """Move a slider by one step, and return whether another picture came."""
    picture = output.find_element(By.TAG_NAME, "img")
    before = driver.execute_script(DRAWN, picture)
    handle.click()
    handle.send_keys(Keys.ARROW_RIGHT)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if driver.execute_script(DRAWN, picture) != before:
            return True
        time.sleep(0.2)
    return False


def pressed(driver: webdriver.Chrome, button, output) -> str:
    """Press the button that shows a password, and return it."""
    place = output.find_element(By.CSS_SELECTOR, ".provision-password code")
    button.click()
    WebDriverWait(driver, 60).until(lambda _: place.text, "no password came")
    return place.text


def save(driver: webdriver.Chrome) -> None:
    """Save the notebook by its menu, and return when it is in its file."""
    file = Path("pictures.ipynb")
    before = file.stat().st_mtime_ns
    driver.find_element(By.XPATH, "//div[contains(@class, 'lm-MenuBar-itemLabel') and text()='File']").click()
    command = "li[data-command='docmanager:save']"
    WebDriverWait(driver, 60).until(lambda _: driver.find_elements(By.CSS_SELECTOR, command))[0].click()
    WebDriverWait(driver, 60).until(
        lambda _: file.stat().st_mtime_ns > before and is_whole(file), "the notebook was not saved"
    )


def is_whole(file: Path) -> bool:
    """Return whether all of a notebook is in its file; for a moment it is empty."""
    with contextlib.suppress(ValueError):
        return bool(json.loads(file.read_text("utf-8")))
    return False


def reopened(driver: webdriver.Chrome, url: str) -> list[list[dict[str, int]]]:
    """Open the saved notebook without the state of its widgets, and return the pictures of each cell."""
    notebook = json.loads(Path("pictures.ipynb").read_text("utf-8"))
    del notebook["metadata"]["widgets"]
    Path("reopened.ipynb").write_text(json.dumps(notebook), "utf-8")
    driver.get(url.replace("pictures.ipynb", "reopened.ipynb") + "&reset")  # without the other's tab
    wanted = sum("image/png" in output.get("data", {}) for cell in notebook["cells"] for output in cell["outputs"])
    end = time.monotonic() + 100
    while time.monotonic() < end and len(driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea img")) < wanted:
        time.sleep(0.5)
    cells = driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell")
    return [[size(driver, one) for one in cell.find_elements(By.TAG_NAME, "img")] for cell in cells]


def pixels(element) -> bytes:
    return Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB").tobytes()


def wait_until_still(canvas) -> None:
    """Return when something was drawn and is the same twice in a row; or after a time, for the screenshot to show."""
    end, before = time.monotonic() + 100, b""
    while time.monotonic() < end:
        time.sleep(0.5)
        now = pixels(canvas)
        if now == before and len(set(zip(now[::3], now[1::3], now[2::3], strict=True))) >= COLOURS:
            return
        before = now


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))

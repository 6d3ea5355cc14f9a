/** The time between two boots for as long as it has to take. Like a run it keeps the process alive, unless it is told not to. */
export class Intermission {
  #alive: NodeJS.Timeout | undefined;
  #wake: () => void = () => undefined;

  /** Resolves when `condition` is false, at once or when look() finds it so. */
  async last(condition: () => boolean, referenced: boolean): Promise<void> {
    if (!condition()) return;
    this.#alive = setInterval(() => undefined, 2 ** 30);
    this.setReferenced(referenced);
    while (condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
    clearInterval(this.#alive);
    this.#alive = undefined;
  }

  /** What the condition depends on has changed. */
  readonly look = (): void => this.#wake();

  setReferenced(referenced: boolean): void {
    if (referenced) this.#alive?.ref();
    else this.#alive?.unref();
  }
}

/** Runs tasks, at most so many at a time, in the order in which they were given. After a failure nothing more is begun. */
export class WorkLimit {
  readonly #atOnce: number
  readonly #waiting: (() => void)[] = []
  #running = 0
  #failure: { readonly error: unknown } | undefined

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /** Runs `task` when there is room. Rejects as it does, or with the failure of an earlier one. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      if (this.#failure !== undefined) throw this.#failure.error
      return await task()
    } catch (error) {
      this.#failure ??= { error }
      throw error
    } finally {
      // The place goes to the next in line, or is free.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** Runs all tasks and waits until none runs any more; rejects with the first failure then. */
  async all(tasks: Iterable<() => Promise<void>>): Promise<void> {
    const ends = await Promise.allSettled([...tasks].map((task) => this.run(task)))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}

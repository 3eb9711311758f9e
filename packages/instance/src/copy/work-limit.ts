/** Runs tasks, at most so many at a time, in the order in which they were given. After a failure nothing more is begun. */
export class WorkLimit {
  readonly #atOnce: number
  readonly #waiting: (() => void)[] = []
  #running = 0
  #failed = false

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /** Runs `task` when there is room. Rejects as it does, or at once when an earlier one has failed. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      if (this.#failed) throw new Error('an earlier task failed')
      return await task()
    } catch (error) {
      this.#failed = true
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
    let failure: { readonly error: unknown } | undefined
    const ends: Promise<void>[] = []
    for (const task of tasks) {
      ends.push(
        this.run(task).catch((error: unknown) => {
          failure ??= { error }
        }),
      )
    }
    await Promise.all(ends)
    if (failure !== undefined) throw (failure as { readonly error: unknown }).error
  }
}

/** Callers that wait for one thing to happen. Nothing is created, and nothing can stay unhandled, while nobody waits. */
export class Waiters {
  #list: { resolve: () => void; reject: (reason: Error) => void }[] = []

  /** Somebody waits. */
  get waiting(): boolean {
    return this.#list.length > 0
  }

  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#list.push({ resolve, reject })
    })
  }

  resolve(): void {
    for (const { resolve } of this.#list.splice(0)) resolve()
  }

  reject(reason: Error): void {
    for (const { reject } of this.#list.splice(0)) reject(reason)
  }
}

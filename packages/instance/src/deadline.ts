/** A wait that ends (I10): the promise, or an error when it takes longer. */
import type { MirabelleError } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'

/** Settles as `promise` does, or rejects with `makeError()` after `ms`. The promise itself goes on. */
export function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  makeError: () => MirabelleError,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(ms, () => reject(makeError()))
    promise.then(
      (value) => {
        timer.clear()
        resolve(value)
      },
      (error: unknown) => {
        timer.clear()
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    )
  })
}

/**
 * Fuzzes one target in a thread of its own and watches it: an input that takes longer than the limit is a hang, a thread that runs out of memory or
 * dies is a crash; in both cases the input's number is told. Ends with the result, and the thread is gone.
 */
import { Worker } from 'node:worker_threads'
import type { FuzzOptions, FuzzResult } from './run-target.ts'

export type WatchedOptions = Omit<FuzzOptions, 'onInput'>

/** An input may take so long, however busy the machine is. */
export const HANG_MS = 20_000
/** How often it is looked after. */
const WATCH_MS = 250
/** Heap of the thread, MB: what inputs of some kilobytes must do with. */
const HEAP_MB = 512

export interface Watching {
  readonly hangMs?: number
  /** Heap of the thread, MB. */
  readonly heapMb?: number
  /** The module whose `fuzzTargets` has the target; default: the ones of this folder. */
  readonly module?: URL
  /** Told now and then: the number of the input that is fed. */
  readonly onProgress?: (index: number) => void
}

export function watchTarget(
  name: string,
  options: WatchedOptions,
  watching: Watching = {},
): Promise<FuzzResult> {
  const {
    hangMs = HANG_MS,
    heapMb = HEAP_MB,
    module = new URL('./targets/index.js', import.meta.url),
    onProgress,
  } = watching
  const began = performance.now()
  const progress = new SharedArrayBuffer(8)
  const current = new Float64Array(progress)
  current[0] = -1
  const worker = new Worker(new URL('./fuzz-worker.js', import.meta.url), {
    workerData: { name, module: module.href, options, progress },
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  })
  return new Promise((resolve, reject) => {
    let last = -1
    let since = performance.now()
    const failed = (error: string): void => {
      clearInterval(watch)
      const index = Math.max(0, current[0] ?? 0)
      const { seed, first = 0 } = options
      void worker.terminate().then(() =>
        resolve({
          target: name,
          seed,
          inputs: index - first,
          ms: performance.now() - began,
          grownBytes: 0,
          failure: { index, error, input: undefined },
        }),
      )
    }
    const watch = setInterval(() => {
      const now = current[0] ?? -1
      if (now !== last) {
        last = now
        since = performance.now()
        onProgress?.(now)
      } else if (now >= 0 && performance.now() - since > hangMs) {
        failed(`a hang: the input took longer than ${hangMs} ms`)
      }
    }, WATCH_MS)
    worker.once('message', (result: FuzzResult) => {
      clearInterval(watch)
      void worker.terminate().then(() => resolve(result))
    })
    worker.once('error', (error) => {
      if (current[0] === -1) {
        clearInterval(watch)
        reject(error)
      } else failed(`a crash: ${error.stack ?? error.message}`)
    })
  })
}

/**
 * The thread in which one target is fuzzed; started and watched by `watch-target.ts`, to which it tells each input's number through shared memory
 * before it feeds it, so that the number is known even if the thread never comes back.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { runTarget } from './run-target.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import type { WatchedOptions } from './watch-target.ts'

const { name, module, options, progress } = workerData as {
  name: string
  module: string
  options: WatchedOptions
  progress: SharedArrayBuffer
}
const { fuzzTargets } = (await import(module)) as { fuzzTargets: readonly FuzzTarget[] }
const target = fuzzTargets.find((one) => one.name === name)
if (target === undefined) throw new Error(`there is no target ${name}`)
const current = new Float64Array(progress)
parentPort?.postMessage(
  await runTarget(target, {
    ...options,
    onInput(index) {
      current[0] = index
    },
  }),
)

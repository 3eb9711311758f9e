/**
 * Feeds one target with inputs, in this thread. Input number n of a seed is drawn from (seed, n) alone, so each replays by itself. Ends at the first
 * failure, at the count, or when the time is up; at the end what is held is compared with what was held early on.
 */
import { SimRandom } from '../sim/sim-random.ts'
import { leak, resourcesNow } from './resources.ts'
import { shrink } from './shrink.ts'
import type { FuzzInput, FuzzTarget } from './fuzz-target.ts'

export interface FuzzOptions {
  readonly seed: number
  /** First input. */
  readonly first?: number
  readonly inputs: number
  /** Ends earlier when so many ms are over. */
  readonly forMs?: number
  /** Told each input's number before it is fed. */
  readonly onInput?: (index: number) => void
  /** Looks for leaks, too; on by default. */
  readonly watchResources?: boolean
}

export interface FuzzFailure {
  readonly index: number
  /** The error of the input, its stack included. */
  readonly error: string
  /** Small, and failing in the same way; undefined for a leak, which no single input shows. */
  readonly input: FuzzInput | undefined
}

export interface FuzzResult {
  readonly target: string
  readonly seed: number
  readonly inputs: number
  readonly ms: number
  /** What is held now beyond what was held after the first inputs, bytes. */
  readonly grownBytes: number
  readonly failure: FuzzFailure | undefined
}

/** Inputs after which everything that is made once has been made. */
const WARM_UP = 2_000
const MIXER = 0x9e3779b97f4a

/** Draws input number `index` of a seed. */
export function drawInput(target: FuzzTarget, seed: number, index: number): FuzzInput {
  return target.draw(new SimRandom((seed * MIXER + index * 0x10001 + 1) % Number.MAX_SAFE_INTEGER))
}

export async function runTarget(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, first = 0, inputs, forMs = Number.POSITIVE_INFINITY, watchResources = true } = options
  const stray = catchStrays()
  const began = performance.now()
  const warmUp = Math.min(WARM_UP, Math.floor(inputs / 4))
  // What is made once in a process, the first listening socket say, is made before anything is counted.
  await target.open?.()
  await target.close?.()
  const before = watchResources ? await resourcesNow() : undefined
  let warm = before
  let done = 0
  let failure: FuzzFailure | undefined
  await target.open?.()
  try {
    for (; done < inputs && performance.now() - began < forMs; done++) {
      // Memory counts from where caches are filled on; handles from the beginning.
      if (done === warmUp && before !== undefined) warm = { ...before, bytes: (await resourcesNow()).bytes }
      const index = first + done
      options.onInput?.(index)
      const input = drawInput(target, seed, index)
      const error = await failureOf(target, input, stray)
      if (error === undefined) continue
      const kind = kindOf(error)
      const small = await shrink(input, async (one) => {
        const again = await failureOf(target, one, stray)
        return again !== undefined && kindOf(again) === kind
      })
      failure = { index, error: textOf(error), input: small }
      break
    }
  } finally {
    await target.close?.()
    stray.end()
  }
  const late = warm === undefined ? undefined : await resourcesNow()
  const grown =
    warm === undefined || late === undefined || failure !== undefined ? undefined : leak(warm, late)
  if (grown !== undefined)
    failure = { index: first + done, error: `after ${done} inputs ${grown}`, input: undefined }
  return {
    target: target.name,
    seed,
    inputs: done,
    ms: performance.now() - began,
    grownBytes: (late?.bytes ?? 0) - (warm?.bytes ?? 0),
    failure,
  }
}

/** Feeds one input. Returns what was thrown, or what nobody caught. */
async function failureOf(target: FuzzTarget, input: FuzzInput, stray: Strays): Promise<unknown> {
  try {
    const pending = target.run(input)
    if (pending !== undefined) await pending
  } catch (error) {
    return error ?? new Error('undefined was thrown')
  }
  return stray.take()
}

interface Strays {
  take(): unknown
  end(): void
}

/** Errors that nobody caught would end a real process. */
function catchStrays(): Strays {
  let caught: unknown
  const keep = (error: unknown): void => {
    caught ??= error
  }
  process.on('uncaughtException', keep)
  process.on('unhandledRejection', keep)
  return {
    take() {
      const error = caught
      caught = undefined
      return error
    },
    end() {
      process.off('uncaughtException', keep)
      process.off('unhandledRejection', keep)
    },
  }
}

/** Two errors are one kind when they come from one place with one sentence, numbers aside. */
function kindOf(error: unknown): string {
  const [sentence = '', place = ''] = textOf(error).split('\n')
  return `${sentence.replace(/\d+/g, '#').slice(0, 120)} ${place.trim()}`
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

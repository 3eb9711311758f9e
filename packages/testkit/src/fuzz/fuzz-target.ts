/**
 * What can be fuzzed. A target draws inputs from a seeded generator, structure first and damage second, and runs them against the code that real
 * bytes reach. It throws a `Finding`, or lets anything unexpected through, when a promise is broken; refusals with a typed error are what it expects.
 */
import type { SimRandom } from '../sim/sim-random.ts'

/**
 * One input: pieces of bytes, whose meaning is the target's (chunks of a stream, messages, files). Pieces, so that a failing input can be shrunk
 * without knowing what it is.
 */
export type FuzzInput = readonly Uint8Array[]

export interface FuzzTarget {
  readonly name: string
  /** What is fed, and what must hold. */
  readonly what: string
  /** Draws an input; the same numbers give the same input. */
  draw(random: SimRandom): FuzzInput
  /** Feeds it. Throws, or rejects, when a promise is broken. */
  run(input: FuzzInput): void | Promise<void>
  /** Before the first input. */
  open?(): Promise<void>
  /** After the last input: everything that was opened must be given back. */
  close?(): Promise<void>
}

/** A promise that an input broke. */
export class Finding extends Error {
  override readonly name = 'Finding'
}

/** Throws a Finding with the sentence unless the condition holds. */
export function promise(holds: boolean, sentence: () => string): asserts holds {
  if (!holds) throw new Finding(sentence())
}

/** Runs `task`; an error of one of these classes is a refusal and is returned, any other is let through. */
export function refusalOf<E extends Error>(
  task: () => void,
  ...expected: readonly (new (...args: never[]) => E)[]
): E | undefined {
  try {
    task()
    return undefined
  } catch (error) {
    return asExpected(error, expected)
  }
}

/** As `refusalOf`, for what takes time. */
export async function lateRefusalOf<E extends Error>(
  task: () => Promise<unknown>,
  ...expected: readonly (new (...args: never[]) => E)[]
): Promise<E | undefined> {
  try {
    await task()
    return undefined
  } catch (error) {
    return asExpected(error, expected)
  }
}

function asExpected<E extends Error>(error: unknown, expected: readonly (new (...args: never[]) => E)[]): E {
  for (const one of expected) if (error instanceof one) return error
  throw error
}

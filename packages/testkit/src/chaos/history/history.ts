/**
 * Records a history while it happens: in memory for the checkers, and line by line into a file, so that a run that is killed leaves what it saw. Started
 * by the run, closed by it. The order of the lines is the order in which this process saw them, which is what real-time edges are made of.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Json, Op, OpType, WorkloadName } from './op.ts'

export interface OpDraft {
  readonly process: number | 'nemesis'
  readonly type: OpType
  readonly workload: WorkloadName | 'nemesis'
  readonly f: string
  readonly value: Json
  readonly contents?: readonly number[]
  readonly final?: boolean
  readonly error?: string
}

export class History {
  readonly #ops: Op[] = []
  readonly #now: () => number
  readonly #file: WriteStream | undefined
  #failure: Error | undefined

  /** `now` gives ms since the beginning of the run; `path` names the file, when there is to be one. */
  constructor(now: () => number, path?: string) {
    this.#now = now
    this.#file = path === undefined ? undefined : createWriteStream(path)
    this.#file?.on('error', (error) => (this.#failure ??= error))
  }

  add(draft: OpDraft): Op {
    const op: Op = { index: this.#ops.length, timeMs: Math.round(this.#now() * 1000) / 1000, ...draft }
    this.#ops.push(op)
    this.#file?.write(`${JSON.stringify(op)}\n`)
    return op
  }
  get ops(): readonly Op[] {
    return this.#ops
  }

  /** Resolves when the file is complete. Rejects when it could not be written. */
  async close(): Promise<void> {
    const file = this.#file
    if (file !== undefined && this.#failure === undefined)
      await new Promise<void>((resolve) => {
        file.once('error', () => resolve())
        file.end(() => resolve())
      })
    if (this.#failure !== undefined) throw this.#failure
  }
}

/** Reads a history from its file. Throws a RangeError that names the line that is none; a last line that was cut is left out. */
export async function readHistory(path: string): Promise<Op[]> {
  return parseHistory(await readFile(path, 'utf8'))
}

export function parseHistory(text: string): Op[] {
  const lines = text.split('\n')
  // Complete lines end with a newline, so what comes after the last one is empty, or was cut.
  lines.pop()
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as Op
    } catch (error) {
      throw new RangeError(`line ${index + 1} of the history is not JSON`, { cause: error })
    }
  })
}

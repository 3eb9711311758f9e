/**
 * Names that were given or taken away and not made durable: the renames and deletions since the last fsync of their folder, so that a loss of power can undo them. What a rename has
 * replaced, and what was deleted, is kept under a second name meanwhile.
 *
 * Lies beside what was written (undo-store.ts) and is read and deleted in the same way: a folder for each folder, with a line for each change of a name.
 */
import fs, { type BigIntStats } from 'node:fs'
import { dirname } from 'node:path'
import { appendTo, isMissing, keyOf, linesIn, namesIn } from './undo-files.ts'

/** Taken before this module's users are replaced by what notes things here. */
const real = { ...fs }

/** In front of the key of a folder. */
const FOLDER = 'd'

interface NameChange {
  /** When, by the clock that all processes share. */
  readonly at: string
  /** Null: it was deleted. */
  readonly from: string | null
  readonly to: string
  /** What was renamed, so that a rename that was not done is not undone. */
  readonly ino: string
  /** Where that is which had the name before; null when it was free, or nobody's file. */
  readonly kept: string | null
}

export function folderKeyOf(stat: BigIntStats): string {
  return `${FOLDER}${keyOf(stat)}`
}

export class NameStore {
  readonly #dir: string
  readonly #keep: string

  /** `keep`: a folder on the disk of the host, for what has lost its name. */
  constructor(dir: string, keep: string) {
    this.#dir = dir
    this.#keep = keep
  }

  /** `from` is about to be renamed. */
  renames(from: string, to: string): void {
    const stat = statOf(from)
    if (stat !== undefined) this.#note({ from, to, ino: String(stat.ino) })
  }

  /** The file is about to be deleted. Folders are deleted for good. */
  deletes(path: string): void {
    const stat = statOf(path)
    if (stat?.isFile() === true) this.#note({ from: null, to: path, ino: String(stat.ino) })
  }

  #note(change: Pick<NameChange, 'from' | 'to' | 'ino'>): void {
    const { to } = change
    const at = String(process.hrtime.bigint())
    const folder = statOf(dirname(to))
    if (folder === undefined) return
    const kept = statOf(to)?.isFile() === true ? this.#keepAlso(to, `${at}-${process.pid}`) : null
    const line = Buffer.from(`${JSON.stringify({ ...change, at, kept } satisfies NameChange)}\n`)
    appendTo(`${this.#dir}/${folderKeyOf(folder)}`, line)
  }

  #keepAlso(path: string, name: string): string {
    const kept = `${this.#keep}/${name}`
    real.mkdirSync(this.#keep, { recursive: true })
    real.linkSync(path, kept)
    return kept
  }

  /** An fsync of a folder has made these records durable. */
  static forget(file: string): void {
    for (const { kept } of changesIn(file)) if (kept !== null) real.rmSync(kept, { force: true })
  }

  /** Names under `root` are as they were made durable, but for the first `kept` of so many changes. Returns how many were undone. */
  lose(root: string, kept: (changes: number) => number): number {
    const folders = namesIn(this.#dir).filter((name) => name.startsWith(FOLDER))
    const files = folders.flatMap((folder) =>
      namesIn(`${this.#dir}/${folder}`).map((name) => `${this.#dir}/${folder}/${name}`),
    )
    const all = files
      .flatMap((file) => changesIn(file).map((change) => ({ file, change })))
      .filter(({ change }) => change.to.startsWith(`${root}/`))
    const changes = all.map(({ change }) => change).sort(byTime)
    const undone = changes.slice(kept(changes.length)).reverse().filter(undo)
    for (const { file } of all) {
      NameStore.forget(file)
      real.rmSync(file, { force: true })
    }
    return undone.length
  }
}

/** False when it was never done, when somebody else has the name by now, or when its folder is gone: a deleted folder stays so. */
function undo({ from, to, ino, kept }: NameChange): boolean {
  const now = statOf(to)
  if (from === null) {
    if (now !== undefined || kept === null || statOf(dirname(to)) === undefined) return false
    real.renameSync(kept, to)
    return true
  }
  if (now === undefined || String(now.ino) !== ino || statOf(from) !== undefined) return false
  if (statOf(dirname(from)) === undefined) return false
  real.renameSync(to, from)
  if (kept !== null) real.renameSync(kept, to)
  return true
}

function changesIn(file: string): NameChange[] {
  return linesIn(file).map((line) => JSON.parse(line) as NameChange)
}

function byTime(a: NameChange, b: NameChange): number {
  const [left, right] = [BigInt(a.at), BigInt(b.at)]
  return left < right ? -1 : left > right ? 1 : 0
}

function statOf(path: string): BigIntStats | undefined {
  try {
    return real.lstatSync(path, { bigint: true })
  } catch (error) {
    if (!isMissing(error)) throw error
    return undefined
  }
}

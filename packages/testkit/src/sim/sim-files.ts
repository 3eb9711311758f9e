/**
 * The files of one simulated host: what programs see (the page cache) and what would be there after the power went. Lives as long as the host;
 * a process that is killed loses nothing here, a host that loses its power loses what was not made durable, or a part of it.
 */
import type { SimRandom } from './sim-random.ts'

/** A disk writes whole sectors: of an unsynced change each sector is either there or not after the power went. */
const SECTOR = 512

/** What a sync that is under way makes durable. */
interface Taken {
  readonly from: number
  readonly to: number
  /** Copied when the file changes before the sync has come to its end. */
  bytes: Uint8Array | undefined
}

export class SimFile {
  /** What is read. */
  content: Uint8Array
  /** What is durable of what is in it; undefined = nothing is. */
  durable: Uint8Array | undefined
  /** Its name in the folder is durable: a sync of the file says nothing of that. */
  isNamed = false
  /** What the disk has said is durable, while that is more than what is. */
  #told: Uint8Array | undefined
  /** Nothing but zeros lies at or after it. */
  filled = 0
  /** Only bytes within it differ from what is durable, when the lengths agree. */
  #dirtyFrom = Number.POSITIVE_INFINITY
  #dirtyTo = 0
  /** By syncs that are under way, while it is what they found. */
  #taken: Taken[] = []

  constructor(content: Uint8Array = new Uint8Array(0)) {
    this.content = content
    this.filled = content.length
  }

  /** What is durable as far as anybody was told. */
  get toldDurable(): Uint8Array | undefined {
    return this.isNamed ? (this.#told ?? this.durable) : undefined
  }

  /** All of it is this now, durably. */
  replace(bytes: Uint8Array): void {
    this.#keepTaken()
    this.content = bytes.slice()
    this.filled = endOfFilled(bytes, 0)
    this.#dirty(0, bytes.length)
    this.durable = bytes
    this.isNamed = true
    this.#told = undefined
  }

  /** The disk has caught up with what it told. */
  makeTrue(): void {
    this.durable = this.#told ?? this.durable
    this.#told = undefined
  }

  resize(length: number): void {
    if (length === this.content.length) return
    this.#keepTaken()
    const resized = new Uint8Array(length)
    resized.set(this.content.subarray(0, length))
    this.content = resized
    this.filled = Math.min(this.filled, length)
    this.#dirty(0, length)
  }

  write(position: number, bytes: Uint8Array): void {
    if (position + bytes.length > this.content.length) this.resize(position + bytes.length)
    this.#keepTaken()
    this.content.set(bytes, position)
    this.filled = Math.max(this.filled, position + endOfFilled(bytes, this.filled - position))
    this.#dirty(position, position + bytes.length)
  }

  /** Zeros from here to the end. */
  clear(position: number): void {
    this.#keepTaken()
    this.content.fill(0, position)
    this.filled = Math.min(this.filled, position)
    this.#dirty(position, this.content.length)
  }

  /** A sync begins: returns what makes durable what is there now, or only says so. What is written later is not covered. */
  snapshot(): (lies?: boolean) => void {
    const from = Math.min(this.#dirtyFrom, this.content.length)
    const to = Math.min(this.#dirtyTo, this.content.length)
    const { length } = this.content
    const taken: Taken = { from, to: Math.max(from, to), bytes: undefined }
    this.#taken.push(taken)
    return (lies = false) => {
      this.#taken = this.#taken.filter((one) => one !== taken)
      const isUnchanged = taken.bytes === undefined
      const bytes = taken.bytes ?? this.content.subarray(taken.from, taken.to)
      if (lies || this.#told !== undefined)
        this.#told = patched(this.#told ?? this.durable?.slice(), length, from, bytes)
      if (lies) return
      this.durable = patched(this.durable, length, from, bytes)
      // Written meanwhile, or nothing: whatever is within the old range may be dirty still.
      if (
        isUnchanged ||
        (this.content.length === length &&
          Buffer.compare(this.content.subarray(from, from + bytes.length), bytes) === 0)
      )
        this.#cleaned(from, from + bytes.length)
    }
  }

  /** It is about to change. */
  #keepTaken(): void {
    if (this.#taken.length === 0) return
    for (const taken of this.#taken) taken.bytes = this.content.slice(taken.from, taken.to)
    this.#taken = []
  }

  #dirty(from: number, to: number): void {
    this.#dirtyFrom = Math.min(this.#dirtyFrom, from)
    this.#dirtyTo = Math.max(this.#dirtyTo, to)
  }

  #cleaned(from: number, to: number): void {
    if (this.#dirtyFrom >= from && this.#dirtyTo <= to) {
      this.#dirtyFrom = Number.POSITIVE_INFINITY
      this.#dirtyTo = 0
    } else if (this.#dirtyFrom >= from && this.#dirtyFrom < to) this.#dirtyFrom = to
  }
}

/** Behind the last byte that is not zero, but not before `from`. */
function endOfFilled(bytes: Uint8Array, from: number): number {
  let end = bytes.length
  while (end > from && bytes[end - 1] === 0) end--
  return end
}

/** The bytes with `piece` put in at `from`; they are changed in place when the length stays. */
function patched(bytes: Uint8Array | undefined, length: number, from: number, piece: Uint8Array): Uint8Array {
  let result = bytes
  if (result?.length !== length) {
    result = new Uint8Array(length)
    result.set((bytes ?? new Uint8Array(0)).subarray(0, length))
  }
  result.set(piece, from)
  return result
}

export class SimFiles {
  readonly #files = new Map<string, SimFile>()
  readonly #folders = new Set<string>(['/'])
  /** Folders whose names in their own folders are not durable. */
  readonly #unnamed = new Set<string>()

  file(path: string): SimFile | undefined {
    return this.#files.get(path)
  }

  /** The file, made when it is missing. The folder must exist. */
  make(path: string): SimFile {
    let file = this.#files.get(path)
    if (file !== undefined) return file
    if (this.#folders.has(path)) throw diskError('EISDIR', path)
    if (!this.#folders.has(parentOf(path))) throw diskError('ENOENT', path)
    file = new SimFile()
    this.#files.set(path, file)
    return file
  }

  /** Writes a file that is durable at once, with its folders: how the world lays out a host. */
  place(path: string, content: Uint8Array): void {
    this.makeFolder(parentOf(path))
    const file = this.make(path)
    file.replace(content.slice())
  }

  isFolder(path: string): boolean {
    return this.#folders.has(path)
  }

  /** Makes a folder and its parents. A program makes their names durable by itself; the world lays out what is durable. */
  makeFolder(path: string, isNamed = true): void {
    for (let at = path; !this.#folders.has(at); at = parentOf(at)) {
      if (this.#files.has(at)) throw diskError('EEXIST', at)
      this.#folders.add(at)
      if (!isNamed) this.#unnamed.add(at)
    }
  }

  /** Names in a folder with what they are, sorted. */
  list(path: string): { name: string; isDirectory: boolean; size: number }[] {
    if (!this.#folders.has(path)) throw diskError('ENOENT', path)
    const prefix = path === '/' ? '/' : `${path}/`
    const inside = (one: string): boolean =>
      one !== '/' && one.startsWith(prefix) && !one.includes('/', prefix.length)
    const entries: { name: string; isDirectory: boolean; size: number }[] = []
    for (const [one, file] of this.#files)
      if (inside(one))
        entries.push({ name: one.slice(prefix.length), isDirectory: false, size: file.content.length })
    for (const one of this.#folders)
      if (inside(one)) entries.push({ name: one.slice(prefix.length), isDirectory: true, size: 0 })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  rename(from: string, to: string): void {
    if (!this.#folders.has(parentOf(to))) throw diskError('ENOENT', to)
    const file = this.#files.get(from)
    if (file !== undefined) {
      this.#files.delete(from)
      this.#files.set(to, file)
      return
    }
    if (!this.#folders.has(from)) throw diskError('ENOENT', from)
    const moved = (one: string): string => to + one.slice(from.length)
    const below = (one: string): boolean => one === from || one.startsWith(`${from}/`)
    for (const one of [...this.#folders].filter(below)) {
      this.#folders.delete(one)
      this.#folders.add(moved(one))
      if (this.#unnamed.delete(one)) this.#unnamed.add(moved(one))
    }
    for (const [one, each] of [...this.#files].filter(([path]) => below(path))) {
      this.#files.delete(one)
      this.#files.set(moved(one), each)
    }
  }

  remove(path: string): void {
    this.#files.delete(path)
    const below = (one: string): boolean => one === path || one.startsWith(`${path}/`)
    for (const one of [...this.#folders].filter(below)) {
      this.#folders.delete(one)
      this.#unnamed.delete(one)
    }
    for (const one of [...this.#files.keys()].filter(below)) this.#files.delete(one)
  }

  /** The names of a folder are durable from now on. */
  syncFolder(path: string): void {
    if (!this.#folders.has(path)) throw diskError('ENOENT', path)
    const prefix = `${path}/`
    for (const [one, file] of this.#files)
      if (one.startsWith(prefix) && !one.includes('/', prefix.length)) {
        file.durable ??= new Uint8Array(0)
        file.isNamed = true
      }
    for (const one of this.#unnamed) if (parentOf(one) === path) this.#unnamed.delete(one)
  }

  /** A disk that told lies has written at last what it said it had. */
  makeTrue(): void {
    for (const file of this.#files.values()) file.makeTrue()
  }

  /** The power goes: of what was not durable, chance decides sector by sector. */
  losePower(random: SimRandom): void {
    for (const folder of [...this.#unnamed]) if (random.chance(0.5)) this.remove(folder)
    this.#unnamed.clear()
    for (const [path, file] of this.#files) {
      const { content, durable } = file
      if ((durable === undefined || !file.isNamed) && random.chance(0.5)) {
        this.#files.delete(path)
        continue
      }
      file.replace(tear(durable ?? new Uint8Array(0), content, random).slice())
    }
  }
}

function tear(durable: Uint8Array, content: Uint8Array, random: SimRandom): Uint8Array {
  if (Buffer.compare(durable, content) === 0) return content
  // All of it, nothing of it, or any mixture of sectors.
  const keep = random.pick([0, 0, 1, 0.5])
  if (keep === 1) return content
  const length = keep === 0 || random.chance(0.5) ? durable.length : content.length
  const torn = new Uint8Array(length)
  torn.set(durable.subarray(0, length))
  if (keep === 0) return torn
  for (let at = 0; at < Math.min(length, content.length); at += SECTOR) {
    if (random.chance(keep)) torn.set(content.subarray(at, Math.min(at + SECTOR, length, content.length)), at)
  }
  return torn
}

export function parentOf(path: string): string {
  const at = path.lastIndexOf('/')
  return at <= 0 ? '/' : path.slice(0, at)
}

/** An error as Node's file system throws it. */
export function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code, path })
}

/** The open sessions of one door, by number, with the keys that cancel them. */
import { timingSafeEqual } from 'node:crypto'

/** What the registry does with a session. */
export interface Registered {
  cancel(): void
}

interface Entry<T> {
  readonly secret: Buffer
  readonly member: T
}

const MAX_PID = 0x7fffffff
/** Bytes of a cancel key: protocol 3.0 has room for exactly 4, 3.2 for up to 256. */
const SECRET_BYTES = { short: 4, long: 32 } as const

export class SessionRegistry<T extends Registered> {
  readonly #entries = new Map<number, Entry<T>>()
  readonly #randomBytes: (count: number) => Buffer
  #lastPid = 0

  constructor(randomBytes: (count: number) => Buffer) {
    this.#randomBytes = randomBytes
  }

  get size(): number {
    return this.#entries.size
  }

  /** Takes a session in under a number that no open session has. */
  add(protocolMinor: number, make: (pid: number) => T): { pid: number; secret: Buffer; member: T } {
    do this.#lastPid = this.#lastPid === MAX_PID ? 1 : this.#lastPid + 1
    while (this.#entries.has(this.#lastPid))
    const pid = this.#lastPid
    const secret = this.#randomBytes(protocolMinor >= 2 ? SECRET_BYTES.long : SECRET_BYTES.short)
    const member = make(pid)
    this.#entries.set(pid, { secret, member })
    return { pid, secret, member }
  }

  remove(pid: number): void {
    this.#entries.delete(pid)
  }

  get(pid: number): T | undefined {
    return this.#entries.get(pid)?.member
  }

  /** Cancels what the session runs if the key is right; compares in constant time. */
  cancel(pid: number, secret: Uint8Array): boolean {
    const entry = this.#entries.get(pid)
    if (entry === undefined || entry.secret.length !== secret.length) return false
    if (!timingSafeEqual(entry.secret, secret)) return false
    entry.member.cancel()
    return true
  }

  members(): T[] {
    return Array.from(this.#entries.values(), (entry) => entry.member)
  }
}

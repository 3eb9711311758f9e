/**
 * The asker's end of a copy: one connection to the primary, its requests with their limits.
 *
 * Opened by `copyFromPeer`, closed by it. When the signal aborts, the connection closes and what waits rejects.
 */
import { MirabelleError, type MessageOf } from '@mirabelle/messages'
import type { Connection } from '@mirabelle/runtime'
import { historyFileName } from '@mirabelle/wal'
import { HASH_BYTES } from './block-hash.ts'
import type { CopyRequest } from './copy-from-peer.ts'
import { Throttle } from './throttle.ts'

const CONNECT_MS = 10_000
const SILENCE_MS = 30_000
/** Beginning and end wait for a quiet moment of the primary, ms. */
const BACKUP_MS = 600_000
const READ_MS = 120_000

export class CopySource {
  /** Bytes of files that came over. */
  bytesRead = 0
  readonly #connection: Connection
  readonly #request: CopyRequest
  readonly #abort: () => void
  readonly #throttle: Throttle
  #copyId = ''

  private constructor(connection: Connection, request: CopyRequest) {
    this.#connection = connection
    this.#request = request
    this.#throttle = new Throttle(request.ports.clock, () => request.maxRate?.() ?? null)
    this.#abort = () => this.close()
    request.signal.addEventListener('abort', this.#abort)
  }

  /** Connects. Rejects as the network does, or with `wrong.content` when another instance answers. */
  static async open(request: CopyRequest): Promise<CopySource> {
    const { upstream, hello, ports, signal } = request
    signal.throwIfAborted()
    const connection = await ports.network.connect(upstream.endpoint, hello, {
      timeoutMs: CONNECT_MS,
      silenceTimeoutMs: SILENCE_MS,
    })
    connection.setHandlers({
      onMessage: (message) => {
        throw new MirabelleError('message.bad', `${message.type} was not asked for by a copy`)
      },
      onClose: () => undefined,
    })
    const source = new CopySource(connection, request)
    if (signal.aborted) source.close()
    if (connection.peer.dbid !== upstream.dbid) {
      source.close()
      throw new MirabelleError(
        'wrong.content',
        `a copy of dbid ${upstream.dbid} was wanted, but dbid ${connection.peer.dbid} answers at port ${upstream.endpoint.port}`,
      )
    }
    return source
  }

  async begin(): Promise<MessageOf<'copy.begun'>> {
    const { hello, epoch } = this.#request
    const { dbid, content } = hello
    const begun = await this.#connection.request(
      { type: 'copy.begin', dbid, content, epoch, checkpoint: 'fast' },
      BACKUP_MS,
    )
    for (const [path] of begun.files) checkPath(path)
    this.#copyId = begun.copyId
    return begun
  }

  async hashes(path: string, firstBlock: number, blocks: number): Promise<Uint8Array> {
    const copyId = this.#copyId
    const message = { type: 'copy.hashes', copyId, path, firstBlock, blocks } as const
    return (await this.#connection.request(message, READ_MS)).hashes
  }

  /** Bytes of a file; fewer when it ends, none when it is gone. */
  async read(path: string, offset: number, length: number): Promise<Uint8Array> {
    const message = { type: 'copy.read', copyId: this.#copyId, path, offset, length } as const
    await this.#throttle.pass()
    this.#request.signal.throwIfAborted()
    const { bytes } = await this.#connection.request(message, READ_MS)
    if (bytes.length > length)
      throw new MirabelleError(
        'message.bad',
        `${bytes.length} bytes of ${path} came, ${length} were asked for`,
      )
    this.bytesRead += bytes.length
    this.#throttle.spent(bytes.length)
    return bytes
  }

  /** Hashes of the blocks of small files; fewer than asked for when a file ends. */
  async hashFiles(files: readonly (readonly [path: string, blocks: number])[]): Promise<Uint8Array[]> {
    const message = { type: 'copy.hashFiles', copyId: this.#copyId, files } as const
    const { counts, hashes } = await this.#connection.request(message, READ_MS)
    return parts(
      message.type,
      hashes,
      counts.map((count) => count * HASH_BYTES),
      files.map(([, blocks]) => blocks * HASH_BYTES),
    )
  }

  /** The beginnings of small files; fewer bytes when a file ends, none when it is gone. */
  async readFiles(files: readonly (readonly [path: string, length: number])[]): Promise<Uint8Array[]> {
    const message = { type: 'copy.readFiles', copyId: this.#copyId, files } as const
    await this.#throttle.pass()
    this.#request.signal.throwIfAborted()
    const { lengths, bytes } = await this.#connection.request(message, READ_MS)
    this.bytesRead += bytes.length
    this.#throttle.spent(bytes.length)
    return parts(
      message.type,
      bytes,
      lengths,
      files.map(([, length]) => length),
    )
  }

  /** The history file of a timeline, undefined when the primary has none. */
  async history(timeline: number): Promise<string | undefined> {
    const bytes = await this.read(`pg_wal/${historyFileName(timeline)}`, 0, 1024 * 1024)
    return bytes.length === 0 ? undefined : new TextDecoder().decode(bytes)
  }

  end(): Promise<MessageOf<'copy.ended'>> {
    return this.#connection.request({ type: 'copy.end', copyId: this.#copyId }, BACKUP_MS)
  }

  close(): void {
    this.#request.signal.removeEventListener('abort', this.#abort)
    if (!this.#connection.closed) this.#connection.close()
  }
}

/** An answer about several files, cut into what is about each. */
function parts(
  what: string,
  bytes: Uint8Array,
  lengths: readonly number[],
  most: readonly number[],
): Uint8Array[] {
  const isFit =
    lengths.length === most.length && lengths.every((length, index) => length <= (most[index] as number))
  if (!isFit || lengths.reduce((sum, length) => sum + length, 0) !== bytes.length)
    throw new MirabelleError('message.bad', `the answer to ${what} does not fit what was asked for`)
  let at = 0
  return lengths.map((length) => bytes.subarray(at, (at += length)))
}

/** What a peer says becomes a path here: it must stay below the data directory. */
function checkPath(path: string): void {
  const parts = path.replace(/\/$/, '').split('/')
  if (parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))) return
  throw new MirabelleError('message.bad', `${JSON.stringify(path)} is no path below a data directory`)
}

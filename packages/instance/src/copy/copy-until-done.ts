/**
 * Runs the copy hook until it has succeeded or the instance stops: a copy that was interrupted (the primary failed over, a connection
 * broke, another copy was under way) begins again and completes.
 */
import { diskFullOr, isDiskFull, MirabelleError, type CopyState, type Peer } from '@mirabelle/messages'
import { delay, type Hello, type Ports } from '@mirabelle/runtime'
import type { CopyFromPeer, CopyMode, CopyResult } from './copy-from-peer.ts'

const RETRY_MS = 1_000
/** A disk that is full does not become empty in a second, and each attempt is a backup at the primary. */
const ROOM_RETRY_MS = 10_000

export interface CopyUntilDone {
  readonly ports: Ports
  readonly hook: CopyFromPeer | undefined
  readonly mode: CopyMode
  readonly datadir: string
  readonly peer: () => Peer | null
  readonly hello: () => Hello
  readonly signal: AbortSignal
  /** Bytes a second; null = no limit. */
  readonly maxRate: () => number | null
  /** What to show in `state`. */
  readonly say: (detail: string) => void
  /** The same for programs. */
  readonly progress: (copy: CopyState) => void
}

/** The result, or undefined when it was aborted. Rejects with an error that trying again does not help. */
export async function copyUntilDone(options: CopyUntilDone): Promise<CopyResult | undefined> {
  const { ports, signal, say, mode } = options
  const startedAt = ports.clock.now()
  while (!signal.aborted) {
    const upstream = options.peer()
    if (options.hook === undefined || upstream === null) {
      throw new MirabelleError(
        'not.ready',
        `${options.datadir} needs a ${options.mode} copy, but there is nobody to copy from`,
      )
    }
    const hello = options.hello()
    try {
      return await options.hook(mode, {
        ports,
        datadir: options.datadir,
        upstream,
        hello,
        epoch: hello.epoch,
        signal,
        maxRate: options.maxRate,
        progress: (at) => {
          say(`${mode} copy: ${at.step}, ${at.bytesDone} of ${at.bytesTotal} bytes`)
          options.progress({ mode, ...at, startedAt })
        },
      })
    } catch (error) {
      if (signal.aborted) return undefined
      if (error instanceof MirabelleError && !error.retryable) throw error
      const named = diskFullOr(error, options.datadir)
      ports.log.warn({ err: named }, 'the copy was interrupted; it begins again')
      say(`${options.mode} copy interrupted: ${named instanceof Error ? named.message : String(named)}`)
      await delay(ports.clock, isDiskFull(named) ? ROOM_RETRY_MS : RETRY_MS)
    }
  }
  return undefined
}

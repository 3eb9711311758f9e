/** How the life of an instance ends: stopped in an orderly way, failed, or fenced (after which it is to be stopped). */
import { diskFullOr, isMirabelleError, MirabelleError } from '@mirabelle/messages'
import { withTimeout } from '@mirabelle/runtime'
import type { StopMode } from '../control/control.ts'
import type { InstanceCore } from './instance-core.ts'

/** How long a smart stop waits for statements to end, ms. */
const QUIESCE_MS = 60_000
/** How long an orderly stop waits for the mirror to have the last WAL, ms. */
const LAST_WAL_MS = 2_000

export class Ending {
  readonly #core: InstanceCore
  #told = false

  constructor(core: InstanceCore) {
    this.#core = core
  }

  /** Ends in an orderly way. Resolves when PostgreSQL has ended; `onEnd` is called then. */
  async stop(mode: StopMode): Promise<void> {
    const core = this.#core
    if (core.state === 'stopped' || core.state === 'failed') return
    const again = core.state === 'stopping'
    if (mode === 'smart' && !again) await this.#quiesce()
    core.decide({ type: 'stop', reason: `stop mode ${mode}` })
    if (again && mode !== 'immediate') return
    core.copyAbort?.abort()
    const { primary, mirror, limits } = core
    primary?.quiet()
    if (mirror !== undefined) {
      const closing = mirror.close()
      // A replay that hangs must not hold up the stop.
      await limits.stop('immediate')
      await closing
    }
    if (primary !== undefined && !primary.gate.closed && mode !== 'immediate') {
      await limits.stop('fast')
      await primary.mirrorCaughtUp(LAST_WAL_MS)
    }
    const reason = new MirabelleError('not.ready', `dbid ${core.dbid} of content ${core.content} is stopped`)
    primary?.close(reason)
    await limits.stop('immediate')
    await core.engine.unclaim?.()
    await core.listener?.close()
    if (core.state !== 'stopping') return
    core.decide({ type: 'stop.done' })
    this.#tell(undefined)
  }

  /** A promise cannot be kept any more: nothing leaves after this, and the process is to end with a status other than 0. */
  fail(cause: unknown): void {
    const core = this.#core
    if (core.state === 'failed' || core.state === 'stopped') return
    // What breaks after the fencing is its consequence: whoever reads the last words wants to know why it was fenced.
    const told =
      core.state === 'fenced' ? new MirabelleError('not.primary', core.role.reason, { cause }) : cause
    const named = diskFullOr(told, core.datadir)
    const error = isMirabelleError(named)
      ? named
      : new MirabelleError('engine.died', `dbid ${core.dbid}: ${describe(told)}`, { cause: told })
    core.log.error({ err: error }, 'the instance fails')
    core.decide({ type: 'fail', code: error.code, reason: error.message })
    core.primary?.close(error)
    core.copyAbort?.abort()
    const closing: Promise<void>[] = [core.limits.stop('immediate')]
    if (core.mirror !== undefined) closing.push(core.mirror.close())
    if (core.listener !== undefined) closing.push(core.listener.close())
    void Promise.allSettled(closing)
      .then(() => core.engine.unclaim?.())
      .catch((failure: unknown) =>
        core.log.warn({ err: failure }, 'the lock of the folder goes with the process'),
      )
      .then(() => this.#tell(error))
  }

  /** Somebody else rules: nothing is answered as primary any more, what waits fails. */
  fence(reason: MirabelleError): void {
    const core = this.#core
    if (core.state !== 'primary') return
    core.decide({ type: 'fence', code: reason.code, reason: reason.message })
    core.primary?.close(reason)
    void core.limits.stop('immediate')
  }

  #tell(error: MirabelleError | undefined): void {
    if (this.#told) return
    this.#told = true
    this.#core.hooks.onEnd(error)
  }

  async #quiesce(): Promise<void> {
    const { ports, hooks, log } = this.#core
    const tooLong = () => new MirabelleError('timeout', `statements still run after ${QUIESCE_MS} ms`)
    try {
      await withTimeout(ports.clock, hooks.quiesce?.() ?? Promise.resolve(), QUIESCE_MS, tooLong)
    } catch (error) {
      log.warn({ err: error }, 'smart stop goes on as fast')
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

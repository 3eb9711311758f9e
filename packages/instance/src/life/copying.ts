/** A mirror that cannot follow its primary: its base is copied anew when the assignment allows it, else it stays unfit and says so. */
import type { MirabelleError } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { copyFromPeer } from '../copy/block-copy.ts'
import type { CopyFromPeer, CopyMode, CopyResult } from '../copy/copy-from-peer.ts'
import { copyUntilDone } from '../copy/copy-until-done.ts'
import { removeOtherBases } from '../refresh/base-folders.ts'
import { systemIdentifier } from '../state/system-identifier.ts'
import { replay } from './following.ts'
import type { InstanceCore } from './instance-core.ts'

/**
 * What makes a mirror unfit and goes away with a copy of its primary. Rewritten WAL is part of it: a bit that was turned where no checksum looks (the padding
 * of a page) shows when the same WAL comes again.
 */
const COPY_MENDS: ReadonlySet<string> = new Set(['wal.diverged', 'wal.removed', 'wal.ahead', 'wal.rewrite'])

/** The block-wise copy, unless the owner has another one; undefined where the engine has no files of PostgreSQL's. */
export function copyHook({ hooks, options }: InstanceCore): CopyFromPeer | undefined {
  return hooks.copyFromPeer ?? (options.maintenance === false ? undefined : copyFromPeer)
}

/** The walreceiver cannot go on: copy when the assignment allows it, else say so and stay unfit. */
export function recover(core: InstanceCore, why: string, reason?: MirabelleError): void {
  const { recovery } = core.assignment
  const code = reason?.code ?? 'wal.diverged'
  const copyable = COPY_MENDS.has(code)
  if (recovery !== 'incremental' && copyable && copyHook(core) !== undefined) {
    beginCopy(core, recovery === 'full' ? 'full' : 'differential', why)
    return
  }
  if (core.state === 'unfit') return
  const next = copyable
    ? 'recover it with a differential or full copy (`mirabelle recover --differential`)'
    : 'see the log; `mirabelle recover --full` makes it anew'
  core.decide({ type: 'unfit', code, reason: `${why}; ${next}` })
  endMirror(core).catch((error: unknown) => core.turns.fail(error))
}

/** Begins a copy, in a state that allows one. */
export function beginCopy(core: InstanceCore, mode: CopyMode, why: string): void {
  core.decide({ type: 'copy', reason: why })
  if (core.state !== 'copying') return
  copyAndReplay(core, mode).catch((error: unknown) => core.turns.fail(error))
}

async function copyAndReplay(core: InstanceCore, mode: CopyMode): Promise<void> {
  if (faults !== undefined) await faults.at('copy.begin')
  await endMirror(core)
  // A whole base is in place still: others must not be taken for one when the copy has removed it.
  await removeOtherBases(core.ports.disk, core.datadir)
  await core.durable.setCopying(mode)
  if (faults !== undefined) await faults.at('copy.marked')
  const result = await copy(core, mode)
  if (result === undefined || core.state !== 'copying') return
  await core.durable.setCopying(null)
  // The copy that was asked for is made: a restart of the process is not to make it again.
  await core.assign((held) => ({ ...held, recovery: 'auto' }))
  if (faults !== undefined) await faults.at('copy.complete')
  core.decide({ type: 'copy.done' })
  core.systemIdentifier = await systemIdentifier(core.ports.disk, core.datadir)
  const { timeline, startLsn, history } = result
  await replay(core, { timeline, receivedEnd: startLsn, history }, core.assignment.peer ?? undefined)
}

/** Undefined when it was aborted. */
async function copy(core: InstanceCore, mode: CopyMode): Promise<CopyResult | undefined> {
  core.copyAbort = new AbortController()
  const result = await copyUntilDone({
    ports: core.ports,
    hook: copyHook(core),
    mode,
    datadir: core.datadir,
    peer: () => core.assignment.peer,
    hello: () => core.hello('copy'),
    signal: core.copyAbort.signal,
    maxRate: () => core.assignment.copyMaxRate ?? null,
    say: (detail) => {
      core.detail = detail
    },
    progress: (state) => {
      core.copyState = state
    },
  })
  core.copyAbort = undefined
  core.copyState = null
  core.detail = ''
  return result
}

async function endMirror(core: InstanceCore): Promise<void> {
  const { mirror } = core
  core.mirror = undefined
  await mirror?.close()
  await core.limits.stop('immediate')
}

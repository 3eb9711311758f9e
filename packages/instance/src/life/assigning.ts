/** An instance is told something new about its part: another peer, other settings, what a mirror may do to come back. */
import { areNewer, MirabelleError, type Assignment, type Peer, type SettingTexts } from '@mirabelle/messages'
import { withNewestSettings } from '../state/newest-settings.ts'
import type { InstanceCore } from './instance-core.ts'

/** The settings are these now. Older ones than it has change nothing. Resolves when they are durable and in force. */
export async function configure(core: InstanceCore, settings: SettingTexts): Promise<void> {
  if (!areNewer(settings, core.assignment.settings)) return
  await core.assign((held) => withNewestSettings(held, { ...held, settings: { ...settings } }))
  core.log.info({ settings: core.assignment.settings }, 'the settings have changed')
}

/** The peer, the settings or the permitted recovery changed. An assignment that says mirror fences a primary. */
export async function reassign(core: InstanceCore, assignment: Assignment): Promise<void> {
  const before = core.assignment
  await core.assign((held) => withNewestSettings(assignment, held))
  if (core.state === 'primary' && assignment.role === 'm') {
    const text = `dbid ${core.dbid} was told that it is a mirror; start it anew as one`
    core.turns.fence(new MirabelleError('not.primary', text))
    return
  }
  if (assignment.peer !== null && !samePeer(before.peer, assignment.peer))
    core.mirror?.setPeer(assignment.peer)
  if (before.peer !== null && before.peer.dbid !== assignment.peer?.dbid)
    core.primary?.mirrorReplaced(before.peer.dbid)
  core.primary?.reassigned()
  if (core.state === 'unfit') core.turns.recover(core.role.reason)
}

function samePeer(a: Peer | null, b: Peer): boolean {
  return a !== null && JSON.stringify(a) === JSON.stringify(b)
}

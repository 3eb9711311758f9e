/** The row of gp_master_mirroring in HAWQ's words: how the standby is, since when, and why. */
import t from 'tap'
import type { InstanceStateRow } from '@mirabelle/messages'
import { StandbyWatch } from '../src/views/standby-watch.ts'

const standby = (more: Partial<InstanceStateRow>) =>
  [{ dbid: 6, content: -1, role: 'm', pid: 7, state: 'mirror', detail: '', ...more }] as InstanceStateRow[]

function setUp() {
  const clock = { at: 1_000, now: () => clock.at }
  return { clock, watch: new StandbyWatch(clock) }
}

t.test('the time is that of the change, not that of the look', (t) => {
  const { clock, watch } = setUp()
  watch.is('catchup')
  clock.at = 2_000
  watch.is('streaming')
  clock.at = 3_000
  watch.is('streaming')
  t.same(watch.summary('streaming', standby({})), {
    summary: 'Synchronized',
    detail: null,
    changedAt: 2_000,
    error: null,
  })
  clock.at = 4_000
  t.match(watch.summary('catchup', standby({})), { summary: 'Synchronizing', changedAt: 4_000 })
  t.match(watch.summary('none', []), { summary: 'Not Configured', changedAt: null, detail: null })
  t.end()
})

t.test('why it is not in sync', (t) => {
  const { watch } = setUp()
  const down = (more: Partial<InstanceStateRow>) => watch.summary('down', standby(more))
  t.match(down({ pid: null, state: null, detail: 'killed by SIGKILL' }), {
    summary: 'Not Synchronized',
    detail: 'Connection error',
    error: 'killed by SIGKILL',
  })
  t.match(down({ pid: null, state: null }), {
    detail: 'Standby master was not started by the administrator',
    error: null,
  })
  t.match(down({ state: 'unfit', detail: 'x'.repeat(300) }), {
    detail: 'Standby master too far behind',
    error: 'x'.repeat(200),
  })
  t.match(down({ state: 'failed' }), { detail: 'Unexpected error' })
  t.match(down({}), { detail: 'Connection error' })
  t.end()
})

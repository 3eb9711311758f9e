/** Which roles a program is told of, and that nothing waits for it. */
import t from 'tap'
import { silentLogger } from '@mirabelle/runtime'
import {
  RoleChangeHook,
  takenRole,
  type RoleChangeFacts,
  type RoleChangeRun,
} from '../src/front/role-change-hook.ts'

interface Started extends RoleChangeRun {
  readonly command: string
  readonly facts: RoleChangeFacts
  killed: boolean
  end(how: string): void
}

function hook(command = 'move-address') {
  const started: Started[] = []
  const setting = { command }
  const made = new RoleChangeHook({
    log: silentLogger,
    command: () => setting.command,
    facts: () => ({ host: 'h1', address: '10.0.0.1', port: 6432, dbid: 1, epoch: 4, clusterId: 'c' }),
    run: (text, facts) => {
      if (text === 'refused') throw new Error('no memory')
      let end: (how: string) => void = () => undefined
      const ended = new Promise<string>((resolve) => (end = resolve))
      const run: Started = {
        command: text,
        facts,
        ended,
        killed: false,
        kill: () => (run.killed = true),
        end: (how) => end(how),
      }
      started.push(run)
      return run
    },
  })
  return { made, started, setting }
}

t.test('each role that is taken up is told once, with where', (t) => {
  const { made, started } = hook()
  made.took('standby')
  made.took('standby')
  made.took('coordinator')
  made.took('none')
  made.took('none')
  t.same(
    started.map(({ facts }) => facts.role),
    ['standby', 'coordinator', 'none'],
  )
  t.match(started[0], { command: 'move-address', facts: { host: 'h1', port: 6432, dbid: 1, epoch: 4 } })
  t.end()
})

t.test('a program that was told of an older role is killed; one that has ended is not', async (t) => {
  const { made, started } = hook()
  made.took('standby')
  made.took('coordinator')
  t.equal(started[0]?.killed, true)
  started[1]?.end('exit status 0')
  await started[1]?.ended
  await Promise.resolve() // what was waiting for that end runs
  made.took('none')
  t.equal(started[1]?.killed, false)
})

t.test('no command, no program; it may be set later', (t) => {
  const { made, started, setting } = hook('')
  made.took('standby')
  setting.command = 'x'
  made.took('coordinator')
  t.match(started, [{ facts: { role: 'coordinator' } }])
  t.end()
})

t.test('what the system refuses to start is logged and forgotten', (t) => {
  const { made, started, setting } = hook('refused')
  made.took('standby')
  setting.command = 'x'
  made.took('coordinator')
  t.equal(started.length, 1)
  t.end()
})

t.test('which states of the instance are which role', (t) => {
  t.same(
    ['mirror', 'copying', 'unfit'].map((state) => takenRole(state as never)),
    Array(3).fill('standby'),
  )
  t.same(
    ['fenced', 'failed', 'stopping', 'stopped'].map((state) => takenRole(state as never)),
    Array(4).fill('none'),
  )
  t.same(
    ['starting', 'promoting', 'primary'].map((state) => takenRole(state as never)),
    [undefined, undefined, undefined],
  )
  t.end()
})

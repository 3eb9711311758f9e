// What makes a fresh clone ready: one preparation at a time, and an install that is recognised for what it is.
import t from 'tap'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from '../.tools/lib/lock.mjs'
import { installMatches } from '../.tools/lib/ready.mjs'
import { run } from '../.tools/lib/run.mjs'

t.test('two holders of the lock never work at once, and the second is told that it waits', async (t) => {
  const path = join(t.testdir(), 'lock')
  const order: string[] = []
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  const first = withLock(path, async () => {
    order.push('first begins')
    await released
    order.push('first ends')
  })
  const second = withLock(
    path,
    async () => order.push('second begins'),
    () => {
      order.push('second waits')
      release()
    },
  )
  await Promise.all([first, second])
  t.same(order, ['first begins', 'second waits', 'first ends', 'second begins'])
  t.notOk(existsSync(path))
})

t.test('the lock of a dead process is taken over at once', async (t) => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const path = join(t.testdir({ lock: String(pid) }), 'lock')
  t.equal(await withLock(path, async () => readFileSync(path, 'utf8'), t.fail), String(process.pid))
})

t.test('a lock stays held while the program lives that its dead owner had started', async (t) => {
  const npm = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  t.teardown(() => npm.kill('SIGKILL'))
  const { pid: dead } = spawnSync(process.execPath, ['-e', ''])
  const path = join(t.testdir(), 'lock')
  writeFileSync(path, `${dead} ${npm.pid}`)
  const gone = once(npm, 'exit')
  let hasGone = false
  void gone.then(() => (hasGone = true))
  await withLock(
    path,
    async () => t.ok(hasGone, 'not before it has ended'),
    () => npm.stdin.end(),
  )
})

t.test('a failure of the work frees the lock and is passed on', async (t) => {
  const path = join(t.testdir(), 'lock')
  await t.rejects(
    withLock(path, async () => Promise.reject(new Error('no room'))),
    { message: 'no room' },
  )
  t.notOk(existsSync(path))
})

t.test('an install is complete when every required package is there in its version', async (t) => {
  const lock = JSON.stringify({
    packages: {
      '': { version: '0' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/elsewhere': { version: '2.0.0', optional: true },
    },
  })
  const installed = (version: string) => JSON.stringify({ packages: { 'node_modules/a': { version } } })
  t.ok(installMatches(lock, installed('1.0.0')))
  t.notOk(installMatches(lock, installed('1.0.1')))
  t.notOk(installMatches(lock, JSON.stringify({ packages: {} })))
  t.notOk(installMatches(lock, undefined))
})

t.test('a program that cannot be started and one that a signal ended are told apart', async (t) => {
  t.match(await run('no-such-program-here', []), { status: 127, output: /no-such-program-here/ })
  t.match(await run(process.execPath, ['-e', 'process.kill(process.pid, "SIGKILL")']), {
    status: 128,
    output: /SIGKILL/,
  })
  t.match(await run(process.execPath, ['-e', 'console.log(1); process.exit(3)']), {
    status: 3,
    output: '1\n',
  })
})

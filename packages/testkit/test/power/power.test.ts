// A process of a cluster that loses its power keeps what it has made durable, and nothing else.
import t from 'tap'
import { spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { Power } from '../../src/power/power.ts'
import { keyOf } from '../../src/power/undo-files.ts'
import { UndoStore } from '../../src/power/undo-store.ts'

const program = `
import fs from 'node:fs'
import { fdatasync, fsyncSync, openSync, writeSync, ftruncateSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { Worker, isMainThread } from 'node:worker_threads'
if (!isMainThread) {
  const fd = openSync('by-thread', 'w')
  writeSync(fd, Buffer.from('thread, synced by main'), 0, 22, 0)
} else {
  // Over what is durable, in part durable itself.
  const over = openSync('over', 'r+')
  writeSync(over, Buffer.from('SECOND'), 0, 6, 0)
  fsyncSync(over)
  writeSync(over, Buffer.from('third and longer'), 0, 16, 3)
  fs.closeSync(over)
  // Opened for writing only, and cut off.
  const only = openSync('write-only', 'a')
  writeSync(only, 'more')
  ftruncateSync(only, 2)
  // By a handle, under another name afterwards.
  const handle = await open('new', 'w+')
  await handle.write(Buffer.from('kept'), 0, 4, 0)
  await handle.datasync()
  await handle.writeFile('lost')
  fs.renameSync('new', 'renamed')
  const never = await open('never', 'w')
  await never.writeFile('never durable')
  await never.close()
  await new Promise((resolve) => new Worker(new URL(import.meta.url), { execArgv: [] }).once('exit', resolve))
  const fd = openSync('by-thread', 'r')
  await new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())))
  console.log('written')
  setInterval(() => undefined, 1000)
}
`

const skip = process.platform === 'linux' ? false : 'Linux only'
t.test('what was made durable stays, what was only written goes', { skip }, async (t) => {
  const power = new Power()
  t.teardown(() => power.close())
  const dir = realpathSync(t.testdir({ program: { 'main.mjs': program } }))
  const host = join(dir, 'host')
  mkdirSync(host)
  for (const name of ['over', 'write-only']) writeFileSync(join(host, name), 'first and whole')
  const child = spawn(process.execPath, [join(dir, 'program', 'main.mjs')], {
    cwd: host,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const read = (name: string): string => readFileSync(join(host, name), 'utf8')
  t.equal(read('over'), 'SECthird and longer')
  t.equal(read('renamed'), 'lost')

  const { processes, files } = await power.lose(host)
  t.equal(processes, 1)
  t.equal(await ended, 'SIGKILL')
  t.equal(files, 5)
  t.equal(read('over'), 'SECONDand whole', 'what was written over what was durable')
  t.equal(read('write-only'), 'first and whole', 'what was appended and cut off')
  t.equal(read('new'), 'kept', 'a file whose new name was not durable has its old one')
  t.notOk(existsSync(join(host, 'renamed')))
  t.equal(read('never'), '')
  t.equal(read('by-thread'), 'thread, synced by main', 'written by one thread, made durable by another')
  t.equal((await power.lose(host)).files, 0, 'once more: it is all durable now')
})

t.test('a disk may have got to the first writes by itself', { skip }, (t) => {
  const dir = realpathSync(t.testdir({ undo: {}, host: { file: '' } }))
  const path = join(dir, 'host', 'file')
  const store = new UndoStore(join(dir, 'undo'))
  const fd = openSync(path, 'r+')
  const key = keyOf(fstatSync(fd, { bigint: true }))
  for (const [at, text] of ['one', 'two', 'three'].entries()) {
    store.note(key, fd, fstatSync(fd).size, at * 3, text.length)
    writeSync(fd, text, at * 3)
  }
  closeSync(fd)
  t.equal(
    store.lose(join(dir, 'host'), (writes) => writes - 1),
    1,
  )
  t.equal(readFileSync(path, 'utf8'), 'onetwo')
  t.end()
})

const renaming = `
import fs, { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { rename, rm, unlink } from 'node:fs/promises'
const sync = (path) => {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
for (const name of ['a', 'b', 'c', 'sub/d']) {
  writeFileSync(name + '.tmp', 'new ' + name)
  sync(name + '.tmp')
}
renameSync('a.tmp', 'a')
await unlink('gone')
sync('.')
await rename('b.tmp', 'b')
await rename('b', 'b2')
await rm('deleted', { force: true })
await unlink('left/one')
await rm('left', { recursive: true })
rmSync('never there', { force: true })
await rename('c.tmp', 'c')
await rename('sub/d.tmp', 'sub/d')
sync('sub')
await rename('folder', 'other folder')
console.log('written')
setInterval(() => undefined, 1000)
`

t.test('names that were not made durable are as they were', { skip }, async (t) => {
  const power = new Power()
  t.teardown(() => power.close())
  const old = {
    a: 'old a',
    b: 'old b',
    gone: 'gone',
    deleted: 'deleted',
    folder: { e: 'e' },
    left: { one: 'its folder goes, too', other: '' },
    sub: { d: 'old d' },
  }
  const dir = realpathSync(t.testdir({ program: { 'main.mjs': renaming }, host: old }))
  const host = join(dir, 'host')
  const child = spawn(process.execPath, [join(dir, 'program', 'main.mjs')], {
    cwd: host,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  t.same(readdirSync(host).sort(), ['a', 'b2', 'c', 'other folder', 'sub'])
  await power.lose(host)
  const files = readdirSync(host).filter((name) => name !== 'folder' && name !== 'sub')
  t.same(Object.fromEntries(files.map((name) => [name, readFileSync(join(host, name), 'utf8')])), {
    a: 'new a',
    b: 'old b',
    'b.tmp': 'new b',
    'c.tmp': 'new c',
    deleted: 'deleted',
  })
  t.same(readdirSync(join(host, 'folder')), ['e'])
  t.equal(readFileSync(join(host, 'sub', 'd'), 'utf8'), 'new sub/d', 'the folder of this name was synced')
})

/** What every disk port promises. Run for the real side here and for the simulated one in testkit. */
import type { Test } from 'tap'
import type { Disk } from '@mirabelle/runtime'

export interface DiskWorld {
  readonly disk: Disk
  /** An empty folder that exists. */
  readonly folder: string
  /** Lets time pass until the promise settles. */
  until<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const bytes = (content: string): Uint8Array => Buffer.from(content, 'latin1')

/** Registers the suite. */
export function diskSuite(t: Test, make: () => Promise<DiskWorld>): void {
  const test = (name: string, run: (t: Test, disk: Disk, folder: string) => Promise<void>): void => {
    void t.test(name, async (t) => {
      const world = await make()
      t.teardown(() => world.close())
      await world.until(run(t, world.disk, world.folder))
    })
  }

  test('a file is written and read at any position', async (t, disk, folder) => {
    const file = await disk.open(`${folder}/f`, 'w+')
    await file.write(0, bytes('hello world'))
    await file.write(6, bytes('there'))
    await file.write(20, bytes('!'))
    t.equal(await file.size(), 21)
    t.equal(text(await file.read(0, 11)), 'hello there')
    t.equal(text(await file.read(11, 10)), `${'\0'.repeat(9)}!`, 'a hole reads as zeros')
    await file.sync()
    await file.close()
    t.equal((await disk.readFile(`${folder}/f`)).length, 21)
  })

  test('a read beyond the end gives what is there', async (t, disk, folder) => {
    const file = await disk.open(`${folder}/f`, 'w+')
    await file.write(0, bytes('abc'))
    t.equal(text(await file.read(1, 100)), 'bc')
    t.equal((await file.read(3, 5)).length, 0)
    t.equal((await file.read(100, 5)).length, 0)
    await file.close()
  })

  test('truncate shortens and lengthens', async (t, disk, folder) => {
    const file = await disk.open(`${folder}/f`, 'w+')
    await file.write(0, bytes('abcdef'))
    await file.truncate(2)
    t.equal(text(await file.read(0, 10)), 'ab')
    await file.truncate(4)
    t.equal(text(await file.read(0, 10)), 'ab\0\0')
    await file.close()
  })

  test('reserve lengthens with zeros, keeps what is there and never shortens', async (t, disk, folder) => {
    const file = await disk.open(`${folder}/f`, 'w+')
    await file.write(0, bytes('abc'))
    await file.reserve(600_001)
    t.equal(await file.size(), 600_001)
    const all = await file.read(0, 700_000)
    t.equal(text(all.subarray(0, 3)), 'abc')
    t.ok(
      all.subarray(3).every((byte) => byte === 0),
      'zeros behind it',
    )
    await file.reserve(10)
    t.equal(await file.size(), 600_001)
    await file.close()
  })

  test('the modes of open make, keep, empty or refuse', async (t, disk, folder) => {
    const path = `${folder}/f`
    for (const mode of ['r', 'r+'] as const) await t.rejects(disk.open(path, mode), { code: 'ENOENT' }, mode)
    const made = await disk.open(path, 'a+')
    await made.write(0, bytes('abc'))
    await made.close()
    const kept = await disk.open(path, 'a+')
    t.equal(await kept.size(), 3)
    await kept.write(1, bytes('X'))
    t.equal(text(await kept.read(0, 9)), 'aXc', 'written at the position, not at the end')
    await kept.close()
    const readOnly = await disk.open(path, 'r')
    await t.rejects(readOnly.write(0, bytes('no')))
    await readOnly.close()
    const existing = await disk.open(path, 'r+')
    await existing.write(2, bytes('Y'))
    await existing.close()
    t.equal(text(await disk.readFile(path)), 'aXY')
    const emptied = await disk.open(path, 'w+')
    t.equal(await emptied.size(), 0)
    await emptied.close()
  })

  test('writeFileDurable replaces a file and leaves nothing else behind', async (t, disk, folder) => {
    await disk.writeFileDurable(`${folder}/state`, 'one')
    await disk.writeFileDurable(`${folder}/state`, bytes('two'))
    t.equal(text(await disk.readFile(`${folder}/state`)), 'two')
    t.same(
      (await disk.list(folder)).map(({ name }) => name),
      ['state'],
    )
    await t.rejects(disk.writeFileDurable(`${folder}/none/state`, 'x'), { code: 'ENOENT' })
  })

  test('a folder is listed by name, with sizes', async (t, disk, folder) => {
    await disk.makeDir(`${folder}/d/e`)
    await disk.makeDir(`${folder}/d/e`)
    for (const name of ['b', 'a', 'Z']) await disk.writeFileDurable(`${folder}/${name}`, name.repeat(3))
    const entries = await disk.list(folder)
    t.same(
      entries.map(({ name, isDirectory }) => [name, isDirectory]),
      [
        ['Z', false],
        ['a', false],
        ['b', false],
        ['d', true],
      ],
    )
    t.equal(entries[1]?.size, 3)
    await t.rejects(disk.list(`${folder}/none`), { code: 'ENOENT' })
  })

  test('exists, rename and remove', async (t, disk, folder) => {
    t.notOk(await disk.exists(`${folder}/a`))
    await disk.writeFileDurable(`${folder}/a`, 'a')
    await disk.writeFileDurable(`${folder}/b`, 'b')
    await disk.rename(`${folder}/a`, `${folder}/b`)
    t.notOk(await disk.exists(`${folder}/a`))
    t.equal(text(await disk.readFile(`${folder}/b`)), 'a', 'rename replaces')
    await disk.makeDir(`${folder}/d/e`)
    await disk.writeFileDurable(`${folder}/d/e/f`, 'f')
    await disk.rename(`${folder}/d`, `${folder}/g`)
    t.ok(await disk.exists(`${folder}/g/e/f`))
    await disk.syncDir(folder)
    await disk.remove(`${folder}/g`)
    await disk.remove(`${folder}/g`)
    t.notOk(await disk.exists(`${folder}/g`))
    await t.rejects(disk.readFile(`${folder}/g`), { code: 'ENOENT' })
    await t.rejects(disk.rename(`${folder}/none`, `${folder}/x`), { code: 'ENOENT' })
  })
}

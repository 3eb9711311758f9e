import t from 'tap'
import {
  configFile,
  instancesFile,
  readAgentConfig,
  readAssignment,
  readJsonFile,
  readKnownInstances,
} from '@mirabelle/agent'
import { realDisk } from '@mirabelle/runtime'
import { writeFileSync } from 'node:fs'

const good = {
  formatVersion: 1,
  clusterId: 'c',
  hostname: 'h',
  listen: { addresses: ['127.0.0.1'], port: 7000 },
  keyFile: 'cluster.key',
  templateDir: 'templates',
  logLevel: 'info',
  encryption: 'auto',
}

t.test('a configuration is read as it was written', async (t) => {
  const dir = t.testdir({ 'agent.json': JSON.stringify(good) })
  t.same(await readAgentConfig(realDisk, dir), good)
})

t.test('a folder without configuration says what to run', async (t) => {
  await t.rejects(readAgentConfig(realDisk, t.testdir()), {
    code: 'datadir.broken',
    message: /agent\.json is missing: run "mirabelle init" first/,
  })
})

t.test('a file that is no configuration of this version is refused by name', async (t) => {
  const dir = t.testdir()
  const broken: unknown[] = [
    { ...good, formatVersion: 2 },
    { ...good, clusterId: undefined },
    { ...good, listen: { addresses: ['x'] } },
    { ...good, keyFile: 7 },
    { ...good, listen: { port: 7000 } },
    { ...good, listen: { addresses: [], port: 7000 } },
    { ...good, listen: { addresses: ['x'], port: 70_000 } },
    { ...good, encryption: 'never' },
    null,
    [],
  ]
  for (const value of broken) {
    writeFileSync(configFile(dir), JSON.stringify(value))
    await t.rejects(readAgentConfig(realDisk, dir), { code: 'datadir.broken', message: /agent\.json/ })
  }
  writeFileSync(configFile(dir), '{')
  await t.rejects(readAgentConfig(realDisk, dir), { code: 'datadir.broken', message: /not valid JSON/ })
  t.equal(await readJsonFile(realDisk, `${dir}/none.json`), undefined)
})

t.test('a list of instances, or an assignment, that cannot be understood is refused by name', async (t) => {
  const dir = t.testdir()
  t.same(await readKnownInstances(realDisk, dir), [], 'a new host has none')
  for (const value of [null, {}, [null], [{ wanted: true }], [{ assignment: { dbid: 2 }, wanted: true }]]) {
    writeFileSync(instancesFile(dir), JSON.stringify(value))
    const text = JSON.stringify(value)
    await t.rejects(
      readKnownInstances(realDisk, dir),
      { code: 'datadir.broken', message: /instances\.json/ },
      text,
    )
  }
  const start = `${dir}/start.json`
  await t.rejects(readAssignment(realDisk, start), {
    code: 'datadir.broken',
    message: /start\.json is missing/,
  })
  writeFileSync(start, '{"dbid": 2}')
  await t.rejects(readAssignment(realDisk, start), { code: 'datadir.broken', message: /start\.json/ })
})

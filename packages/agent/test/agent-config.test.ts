import t from 'tap'
import { configFile, readAgentConfig, readJsonFile } from '@mirabelle/agent'
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

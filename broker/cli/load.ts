import { loadConfig, type Config } from '../config.ts'
import { adapterKinds } from '../main.ts'

export const CONFIG_OPTION = ['-c, --config <file>', 'the configuration', 'taskgrant.yaml'] as const

export async function loadConfigFile(file: string): Promise<Config> {
  return loadConfig(file, adapterKinds)
}

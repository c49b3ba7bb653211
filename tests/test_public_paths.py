"""Every import path that drivers written for SmartSim use, with ``smartcore`` for ``smartsim``."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from importlib.util import find_spec

import pytest

from smartcore.error import PluginMissingError, SmartcoreError
from smartcore.known import KnownPlugin, known_plugins

NAMES: dict[str, str] = {
    "smartcore": "Experiment __version__",
    "smartcore.experiment": "Experiment",
    "smartcore.entity": """
        Model Ensemble SmartSimEntity EntitySequence EntityList DBNode DBModel DBScript DBObject
        TaggedFilesHierarchy TelemetryConfiguration
    """,
    "smartcore.entity.strategies": "create_all_permutations step_values random_permutations",
    "smartcore.database": "Orchestrator",
    "smartcore.settings": """
        RunSettings BatchSettings SettingsBase Container Singularity
        SrunSettings AprunSettings JsrunSettings MpirunSettings MpiexecSettings OrterunSettings
        PalsMpiexecSettings DragonRunSettings
        SbatchSettings QsubBatchSettings BsubBatchSettings SgeQsubBatchSettings
    """,
    "smartcore.settings.base": "RunSettings BatchSettings SettingsBase",
    "smartcore.settings.settings": "create_run_settings create_batch_settings",
    "smartcore.settings.mpiSettings": """
        _BaseMPISettings MpirunSettings MpiexecSettings OrterunSettings
    """,
    "smartcore.settings.slurmSettings": "SrunSettings SbatchSettings fmt_walltime",
    "smartcore.settings.pbsSettings": "QsubBatchSettings",
    "smartcore.settings.alpsSettings": "AprunSettings",
    "smartcore.settings.lsfSettings": "JsrunSettings BsubBatchSettings",
    "smartcore.settings.palsSettings": "PalsMpiexecSettings",
    "smartcore.settings.sgeSettings": "SgeQsubBatchSettings",
    "smartcore.settings.dragonRunSettings": "DragonRunSettings",
    "smartcore.status": "SmartSimStatus TERMINAL_STATUSES",
    "smartcore.servertype": "CLUSTERED STANDALONE",
    "smartcore.log": "get_logger log_to_file log_to_exp_file get_exp_log_paths",
    "smartcore.wlm": "detect_launcher get_hosts get_queue get_tasks get_tasks_per_node",
    "smartcore.wlm.slurm": """
        get_allocation release_allocation validate get_default_partition
        get_hosts get_queue get_tasks get_tasks_per_node
    """,
    "smartcore.wlm.pbs": "get_hosts get_queue get_tasks get_tasks_per_node",
    "smartcore.ml": "form_name",
    "smartcore.ml.data": "DataInfo TrainingDataUploader DataDownloader",
    "smartcore.ml.torch": "StaticDataGenerator DynamicDataGenerator DataLoader",
    "smartcore.ml.tf": """
        StaticDataGenerator DynamicDataGenerator freeze_model serialize_model
    """,
    "smartcore.error": """
        SmartSimError EntityExistsError UserStrategyError ParameterWriterError
        SSReservedKeywordError SSDBIDConflictError SSDBFilesNotParseable SSUnsupportedError
        SSInternalError SSConfigError LauncherError LauncherUnsupportedFeature AllocationError
        ShellError
    """,
    "smartcore.error.errors": """
        SmartSimError SmartSimCLIActionCancelled TelemetryError UnproxyableStepError
        PreviewFormatError
    """,
}

MEMBERS: dict[str, str] = {
    "smartcore.Experiment": """
        create_batch_settings create_database create_ensemble create_model create_run_settings
        finished generate get_status launcher poll preview reconnect_orchestrator start stop
        summary telemetry
    """,
    "smartcore.entity.Model": """
        add_function add_ml_model add_ml_model_object add_script add_script_object
        attach_generator_files attached_files_table colocate_db colocate_db_tcp colocate_db_uds
        colocated db_models db_scripts disable_key_prefixing enable_key_prefixing params_to_args
        print_attached_files query_key_prefixing register_incoming_entity set_path type
    """,
    "smartcore.entity.Ensemble": """
        add_function add_ml_model add_model add_script attach_generator_files attached_files_table
        enable_key_prefixing models print_attached_files query_key_prefixing
        register_incoming_entity batch db_models db_scripts set_path type __getitem__ __iter__
        __len__
    """,
    "smartcore.entity.DBNode": """
        clear_hosts get_launched_shard_info host hosts is_mpmd num_shards
        remove_stale_dbnode_files set_hosts
    """,
    "smartcore.entity.TelemetryConfiguration": "disable enable is_enabled",
    "smartcore.database.Orchestrator": """
        checkpoint_file db_identifier db_nodes enable_checkpoints get_address hosts is_active
        num_shards remove_stale_files reset_hosts set_batch_arg set_cpus set_db_conf
        set_eviction_strategy set_hosts set_max_clients set_max_memory set_max_message_size
        set_run_arg set_walltime telemetry
    """,
    "smartcore.settings.RunSettings": """
        add_exe_args env_vars exe_args format_env_vars format_run_args make_mpmd reserved_run_args
        run_args run_command set set_binding set_broadcast set_cpu_bindings set_cpus_per_task
        set_excluded_hosts set_hostlist set_hostlist_from_file set_memory_per_node
        set_mpmd_preamble set_node_feature set_nodes set_quiet_launch set_task_map set_tasks
        set_tasks_per_node set_time set_verbose_launch set_walltime update_env
    """,
    "smartcore.settings.BatchSettings": """
        add_preamble batch_args batch_cmd format_batch_args preamble set_account
        set_batch_command set_hostlist set_nodes set_queue set_walltime
    """,
}

PATHS = [(module, name) for module, names in NAMES.items() for name in names.split()]


def provider(module: str, name: str) -> KnownPlugin | None:
    """The plugin from which a name comes, None if it is the core's own."""
    for plugin in known_plugins():
        if module in plugin.modules or (module == "smartcore.settings" and name in plugin.classes):
            return plugin
    return None


def installed(plugin: KnownPlugin) -> bool:
    targets = {*plugin.classes.values(), *plugin.modules.values()}
    return all(find_spec(target.partition(".")[0]) is not None for target in targets)


@pytest.mark.parametrize(("module", "name"), PATHS)
def test_a_public_name_resolves_or_says_what_to_install(module: str, name: str) -> None:
    plugin = provider(module, name)
    if plugin is not None and not installed(plugin):
        with pytest.raises(PluginMissingError, match=f"pip install '{plugin.distribution}'"):
            getattr(importlib.import_module(module), name)
        return
    getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("path", "member"),
    [(path, member) for path, members in MEMBERS.items() for member in members.split()],
)
def test_a_public_class_has_the_members_that_users_call(path: str, member: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(getattr(importlib.import_module(module), name), member)


def test_the_from_form_of_import_says_what_to_install_too() -> None:
    missing = [
        (module, name, plugin)
        for module, name in PATHS
        if (plugin := provider(module, name)) is not None and not installed(plugin)
    ]
    if not missing:
        pytest.skip("all well-known plugins are installed")
    module, name, plugin = missing[0]
    completed = subprocess.run(
        [sys.executable, "-c", f"from {module} import {name}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.returncode != 0
    assert f"pip install '{plugin.distribution}'" in completed.stderr


def test_a_misspelt_path_is_an_ordinary_import_error() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("smartcore.wlm.no_such_thing")
    assert not isinstance(caught.value, SmartcoreError)
    with pytest.raises(AttributeError):
        _ = importlib.import_module("smartcore.settings").NoSuchSettings


def test_one_except_catches_every_public_error() -> None:
    errors = importlib.import_module("smartcore.error")
    classes = [item for item in vars(errors).values() if inspect.isclass(item)]
    raised = [item for item in classes if issubclass(item, BaseException)]
    assert len(raised) > 20
    assert [item for item in raised if not issubclass(item, errors.SmartSimError)] == []


def test_the_types_of_a_database_are_those_that_clients_read() -> None:
    from smartcore.servertype import CLUSTERED, STANDALONE

    assert (CLUSTERED, STANDALONE) == ("Clustered", "Standalone")

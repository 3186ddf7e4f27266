texts! {
    /// An environment's dashboard.
    Overview {
        hosts: "Hosts", "主机";
        stacks: "Stacks", "应用栈";
        containers: "Containers", "容器";
        cpu: "CPU", "CPU";
        memory: "Memory", "内存";
        cpu_of: "of {total} cores", "共 {total} 核";
        memory_of: "of {total}", "共 {total}";
        recent: "Recent operations", "最近操作";
        all_operations: "All operations", "全部操作";
        no_operations: "No operations yet", "还没有操作";
        no_operations_text: "Installs, upgrades and other long work appear here.", "安装、升级等耗时操作会显示在这里。";
        happening: "Happening now", "实时动态";
        happening_none: "Changes of containers, hosts and stacks appear here as they happen.", "容器、主机和应用栈的变化会实时显示在这里。";
        first_host: "Connect your first host", "连接第一台主机";
        first_host_text: "A host is a machine with Docker Engine. Drover runs containers on it.", "主机是运行 Docker Engine 的机器，Drover 在其上运行容器。";
        add_host: "Add host", "添加主机";
        first_app: "Install your first app", "安装第一个应用";
        first_app_text: "Pick one from the catalog, answer a few questions, and it runs.", "从目录中选择应用，回答几个问题即可运行。";
        open_catalog: "Open the catalog", "打开应用目录";
        nothing: "none yet", "暂无";
        gone: "removed", "已移除";
    }
}

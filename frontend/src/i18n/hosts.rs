texts! {
    /// Hosts and what is on them.
    Hosts {
        tls_kept: "Leave the certificates empty to keep the stored ones.", "证书留空则保留已存储的证书。";
        labels_help: "For placement constraints such as node.labels.disk==ssd.", "用于放置约束，例如 node.labels.disk==ssd。";
        overview: "Overview", "概览";
        storage: "Storage driver", "存储驱动";
        data_root: "Data folder", "数据目录";
        warnings: "The engine warns", "引擎警告";
        pull: "Pull image", "拉取镜像";
        pull_image: "Image", "镜像";
        pull_help: "e.g. registry.example.com/team/app:1.2", "例如 registry.example.com/team/app:1.2";
        pulled: "{name} is on the host.", "{name} 已在主机上。";
        prune_containers: "Prune stopped containers…", "清理已停止的容器…";
        prune_dangling: "Prune untagged images…", "清理无标签镜像…";
        prune_unused: "Prune unused images…", "清理未使用的镜像…";
        prune_frees: "Frees {size}.", "可释放 {size}。";
        nothing: "Nothing here", "此处为空";
        no_events: "Nothing has happened since Drover connected", "自 Drover 连接以来没有事件";
        no_events_text: "What the engine reports appears here as it happens.", "引擎报告的事件会实时显示在这里。";
        when: "Time", "时间";
        what: "What", "对象";
        event: "Event", "事件";
        exit_code: "exit code {code}", "退出码 {code}";
        drain_title: "Drain {name}?", "排空 {name}？";
        deactivate_title: "Deactivate {name}?", "停用 {name}？";
        deactivate_text: "Drover disconnects from it. Its containers go on running, unwatched.", "Drover 将断开与它的连接。其容器继续运行，但不再受监控。";
        remains: "Left on the machine: {names}", "保留在机器上：{names}";
        not_connected: "Not connected", "未连接";
        unused: "unused", "未使用";
        internal: "internal", "内部";
    }
}

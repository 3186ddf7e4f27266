texts! {
    /// Operations.
    Operations {
        title: "Operations", "操作记录";
        text: "Installs, upgrades and other long work: how far it is and how it ended.", "安装、升级等耗时操作的进度与结果。";
        operation: "Operation", "操作";
        target: "Target", "对象";
        progress: "Progress", "进度";
        by: "By", "发起人";
        by_drover: "Drover", "Drover";
        asked: "Asked for", "发起时间";
        took: "Took", "耗时";
        log: "Log", "日志";
        log_empty: "Nothing has been done yet.", "尚未执行任何步骤。";
        cancel: "Cancel operation", "取消操作";
        cancel_text: "What is done so far stays; the rest is not done.", "已完成的部分会保留，其余部分不再执行。";
        cancelled: "The operation is being cancelled.", "正在取消操作。";
        empty: "No operations yet", "还没有操作";
        empty_text: "Each install, upgrade or other long work is listed here, with its log.", "每次安装、升级或其他耗时操作都会连同日志列在这里。";
        service: "Service", "服务";
        host: "Host", "主机";
        any_state: "Any state", "所有状态";
        create_swarm: "Make swarm", "创建 Swarm";
        join_swarm: "Join swarm", "加入 Swarm";
        leave_swarm: "Leave swarm", "离开 Swarm";
        remove_swarm: "Dissolve swarm", "解散 Swarm";
        force_new_cluster: "Force new cluster", "强制新建集群";
        install: "Install", "安装";
        upgrade: "Upgrade", "升级";
        rollback: "Roll back", "回滚";
        scale: "Scale", "扩缩";
        restart: "Restart", "重启";
        stop: "Stop", "停止";
        start: "Start", "启动";
        remove: "Remove", "移除";
        drain: "Drain", "排空";
        pull: "Pull image", "拉取镜像";
        remove_environment: "Remove environment", "移除环境";
    }
}

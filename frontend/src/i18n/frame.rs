texts! {
    /// Navigation, menus, banners.
    Frame {
        skip: "Skip to content", "跳到正文";
        navigation: "Navigation", "导航";
        open_navigation: "Open navigation", "打开导航";
        switch_environment: "Switch environment", "切换环境";
        no_environment: "No environment", "没有环境";
        manage_environments: "Manage environments", "管理环境";
        overview: "Overview", "概览";
        stacks: "Stacks", "应用栈";
        containers: "Containers", "容器";
        catalog: "Catalog", "应用目录";
        swarm: "Swarm", "Swarm";
        resources: "Resources", "资源";
        clusters: "Clusters", "集群";
        hosts: "Hosts", "主机";
        secrets: "Secrets & registries", "机密与镜像仓库";
        members: "Members", "成员";
        operations: "Operations", "操作记录";
        settings: "Settings", "设置";
        environment_settings: "Environment settings", "环境设置";
        administration: "Administration", "系统管理";
        users: "Users", "用户";
        sign_in: "Sign-in", "登录方式";
        environments: "Environments", "环境";
        catalogs: "Catalogs", "目录源";
        audit: "Audit log", "审计日志";
        account: "Account", "账户";
        profile: "Profile & sessions", "个人资料与会话";
        password: "Change password", "修改密码";
        api_keys: "API keys", "API 密钥";
        api_docs: "REST API", "REST API";
        language: "Language", "语言";
        theme: "Appearance", "外观";
        theme_system: "As the system", "跟随系统";
        theme_light: "Light", "浅色";
        theme_dark: "Dark", "深色";
        sign_out: "Sign out", "退出登录";
        sign_out_everywhere: "Sign out everywhere", "在所有设备上退出";
        sign_out_everywhere_text: "Ends all your browser sessions, on every device. API keys keep working.", "结束您在所有设备上的浏览器会话。API 密钥继续有效。";
        stale: "Not live since {time}. Reconnecting…", "自 {time} 起已停止实时更新。正在重新连接…";
        no_environments: "You are not in an environment yet", "您尚未加入任何环境";
        no_environments_text: "Ask an administrator or an owner to give you a role in one.", "请管理员或环境所有者为您分配角色。";
        no_environments_admin: "Create an environment to begin: hosts, stacks and members belong to one.", "请先创建一个环境：主机、应用栈和成员都归属于环境。";
    }
}
